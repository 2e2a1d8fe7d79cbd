"""The views of the model, shared with the pipeline."""

from __future__ import annotations

from mmengine.hooks import Hook

from mmlogo.datasets.sampler import EpochSampler
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS
from mmlogo.views.transforms import MultiCrop


@HOOKS.register_module()
class ShareViewsHook(Hook):
    """Give the pipeline's `MultiCrop` the views of the model's preprocessor.

    So a config, and an override, names them in one place. And give the sampler the
    run's seed, which a resume may have changed since the sampler was built. Both
    before the first epoch, and thus before workers exist.
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
