"""What the tools do between their command line and the Runner."""

import mmlogo.checkpoints.read  # noqa: F401  MMEngine reads by it from now on
from mmlogo.arguments import LAUNCHERS, add_arguments
from mmlogo.launch.checks import (
    check_data_roots,
    check_fits,
    check_schedules,
    datasets_of,
    require_checkpoint,
)
from mmlogo.launch.cli import (
    drop_hooks,
    prepare,
    set_checkpoint,
    set_data_root,
    set_pretrained,
    set_resume,
    use_amp,
    use_compile,
    use_half_precision,
    use_scaled_lr,
)
from mmlogo.launch.lint import check_keys, check_overrides, find_type
from mmlogo.launch.processes import (
    divide_global_batch,
    init_processes,
    leave_processes,
    leaving_processes,
)
from mmlogo.launch.work_dir import claim_work_dir, holder_of

__all__ = [
    'LAUNCHERS',
    'add_arguments',
    'check_data_roots',
    'check_fits',
    'check_keys',
    'check_overrides',
    'check_schedules',
    'claim_work_dir',
    'datasets_of',
    'divide_global_batch',
    'drop_hooks',
    'find_type',
    'holder_of',
    'init_processes',
    'leave_processes',
    'leaving_processes',
    'prepare',
    'require_checkpoint',
    'set_checkpoint',
    'set_data_root',
    'set_pretrained',
    'set_resume',
    'use_amp',
    'use_compile',
    'use_half_precision',
    'use_scaled_lr',
]
