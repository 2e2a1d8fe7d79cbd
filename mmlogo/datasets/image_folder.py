"""Data sets of image files that can do without a file that is damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import torch
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets import ImageNet as _ImageNet

from mmlogo.registry import DATASETS
from mmlogo.views.header import BadImage
from mmlogo.views.seeds import SUBSTITUTE_STREAM, philox
from mmlogo.views.transforms import LoadImage

# If one image in a hundred is bad, a hundred draws in a row are bad with probability
# 1e-200. So the limit is reached only if nearly every file is bad, as without its disk.
TRIES = 100


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """mmpretrain's `CustomDataset`: the image files of a folder, or those of a list.

    An image may be bad: a file that `LoadImage` refuses. With `bad_samples='skip'` another
    image takes its place, with that image's label. Which one is a function of the seeds
    (seed, epoch, index), so it does not depend on the workers. The sample keeps its index
    and its seeds. `BadSamplesHook` lists the bad files and stops the run if there are too
    many.

    Args:
        bad_samples: 'raise', the default, or 'skip'.
        max_bad: Share of the data set that may be bad with 'skip', in [0, 1). The number
            of images is rounded up. Default: 0.01.
        kwargs: Arguments of `CustomDataset`.

    With 'skip', samples also have `bad_samples`: the bad files that were drawn before this
    one, as JSON, or ''.

    Raises:
        ValueError: If an argument is out of its range, or if the pipeline of a data set
            with 'skip' has no `LoadImage`.
        BadImage: An OSError. With 'raise', when a bad image is drawn. With 'skip', if 100
            substitutes of an image are bad, too.
    """

    def __init__(
        self, *, bad_samples: str = 'raise', max_bad: float = 0.01, **kwargs
    ) -> None:
        if bad_samples not in ('raise', 'skip'):
            raise ValueError(
                f"bad_samples={bad_samples!r}, but it must be 'raise' or 'skip'"
            )
        if not 0 <= max_bad < 1:
            raise ValueError(f'max_bad={max_bad}, but it must be a share in [0, 1)')
        self.bad_samples, self.max_bad = bad_samples, max_bad
        super().__init__(**kwargs)
        loaders = [t for t in self.pipeline.transforms if isinstance(t, LoadImage)]
        if bad_samples == 'skip' and not loaders:
            raise ValueError(
                "bad_samples='skip' knows a bad image by the error of LoadImage, and the "
                "pipeline has none; begin the pipeline with dict(type='LoadImage')"
            )

    def prepare_data(self, idx: int) -> dict:
        """Return the sample, or with 'skip' the first of its substitutes that is good."""
        if self.bad_samples == 'skip':
            return self._first_good(idx)
        try:
            return self._load(idx, idx)
        except BadImage as error:
            raise BadImage(f'{error}; {self._advice()}') from error

    def _first_good(self, idx: int) -> dict:
        bad: dict[str, dict] = {}
        for place in self._places(idx):
            try:
                sample = self._load(place, idx)
            except BadImage as error:
                name = self._name(place)
                bad[name] = dict(name=name, index=int(place), error=str(error))
            else:
                report = self._report([*bad.values()], idx) if bad else ''
                return {**sample, 'bad_samples': report}
        errors = [file['error'] for file in bad.values()]
        raise BadImage(
            f'{errors[0]}; the {TRIES} images that were drawn in its place cannot be read '
            f'either, such as: {errors[-1]}; is the disk there? tools/check_data.py '
            f'{self.img_prefix} reads all images'
        )

    def _load(self, place: int, idx: int) -> dict:
        """Run the pipeline on the image at `place`, with the index and seeds of `idx`."""
        info = self.get_data_info(place)
        if place != idx:
            info['sample_idx'] = idx
        sample = self.pipeline(info)
        if sample is None:  # MMEngine would draw another from NumPy's global random state
            raise BadImage(
                f'the pipeline returned nothing for {self._name(place)!r} (sample '
                f'{int(idx)}); every image must give a sample'
            )
        return sample

    def _places(self, idx: int) -> Iterator[int]:
        """Yield the position `idx` and then those of its substitutes.

        An index without seeds, as of MMEngine's samplers, has seed 0 and epoch 0.
        """
        yield idx
        seed, epoch = getattr(idx, 'seed', 0), getattr(idx, 'epoch', 0)
        seeds = torch.tensor([[seed, epoch, int(idx)]])
        for block in range(TRIES // 4):
            for word in philox(seeds, SUBSTITUTE_STREAM, block)[0].tolist():
                yield word % len(self)

    def _name(self, place: int) -> str:
        path = str(self.get_data_info(place)['img_path'])
        return path.removeprefix(f'{str(self.img_prefix).rstrip("/")}/')

    def _report(self, bad: list[dict], idx: int) -> str:
        """Return what `BadSamplesHook` must know, as JSON: loaders collate any text."""
        limit = math.ceil(self.max_bad * len(self))
        return json.dumps(
            dict(
                files=bad,
                epoch=getattr(idx, 'epoch', 0),
                limit=limit,
                size=len(self),
                max_bad=self.max_bad,
                folder=str(self.img_prefix),
            )
        )

    def _advice(self) -> str:
        return (
            f'tools/check_data.py {self.img_prefix} names all bad files; '
            "bad_samples='skip' in the config of the data set takes other images instead"
        )


@DATASETS.register_module()
class ImageNet(ImageFolder, _ImageNet):
    """mmpretrain's `ImageNet` with the arguments `bad_samples` and `max_bad`."""
