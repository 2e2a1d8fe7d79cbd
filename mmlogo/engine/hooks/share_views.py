"""A hook that gives the model's views to the pipeline."""

from __future__ import annotations

from mmengine.hooks import Hook

from mmlogo.datasets.sampler import EpochSampler
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS
from mmlogo.views.transforms import MultiCrop


@HOOKS.register_module()
class ShareViewsHook(Hook):
    """Give the pipeline's `MultiCrop` the views of the model's preprocessor.

    So a config or an override names the views in one place. The hook also gives the run's
    seed to the sampler, because resuming may have changed the seed after the sampler was
    built. Both happen before the first epoch, when no worker process exists yet.

    Raises:
        ValueError: When training starts, if `MultiCrop` has other views of its own.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        if isinstance(runner.train_dataloader.sampler, EpochSampler):
            runner.train_dataloader.sampler.seed = runner.seed
        specs = getattr(unwrapped(runner.model).data_preprocessor, 'specs', None)
        pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
        for transform in getattr(pipeline, 'transforms', ()):
            if isinstance(transform, MultiCrop) and specs is not None:
                if transform.specs not in (None, specs):
                    raise ValueError(
                        "the views of the pipeline's MultiCrop differ from those of "
                        'model.data_preprocessor; leave MultiCrop without `views`'
                    )
                transform.specs = specs
