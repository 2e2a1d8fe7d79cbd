"""Hooks of training runs, one per file."""

from mmlogo.engine.hooks.bad_samples import BadSamplesHook
from mmlogo.engine.hooks.bounded_log import BoundedLogHook
from mmlogo.engine.hooks.checkpoint import DurableCheckpointHook
from mmlogo.engine.hooks.clock import ClockHook
from mmlogo.engine.hooks.collapse import CollapseError, CollapseHook
from mmlogo.engine.hooks.compile import CompileHook
from mmlogo.engine.hooks.finite import FiniteHook, NotFiniteError
from mmlogo.engine.hooks.interrupt import InterruptHook
from mmlogo.engine.hooks.memory_format import MemoryFormatHook
from mmlogo.engine.hooks.online_probe import OnlineProbeHook
from mmlogo.engine.hooks.pretrained import PretrainedHook
from mmlogo.engine.hooks.progress import ProgressHook
from mmlogo.engine.hooks.provenance import ProvenanceHook
from mmlogo.engine.hooks.share_views import ShareViewsHook
from mmlogo.engine.hooks.start_report import StartReportHook
from mmlogo.engine.hooks.step_info import StepInfoHook
from mmlogo.engine.hooks.throughput import ThroughputHook
from mmlogo.engine.hooks.validate_first import ValidateFirstHook

__all__ = [
    'BadSamplesHook',
    'BoundedLogHook',
    'ClockHook',
    'CollapseError',
    'CollapseHook',
    'CompileHook',
    'DurableCheckpointHook',
    'FiniteHook',
    'InterruptHook',
    'MemoryFormatHook',
    'NotFiniteError',
    'OnlineProbeHook',
    'PretrainedHook',
    'ProgressHook',
    'ProvenanceHook',
    'ShareViewsHook',
    'StartReportHook',
    'StepInfoHook',
    'ThroughputHook',
    'ValidateFirstHook',
]
