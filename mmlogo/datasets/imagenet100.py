"""ImageNet restricted to a list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmlogo.datasets.image_folder import ImageFolder
from mmlogo.registry import DATASETS

# The 100 classes of CMC (Tian et al., ECCV 2020), which LoGo uses too. There are other
# data sets named "ImageNet-100", with other classes.
# fmt: off
CMC_CLASSES = (
    'n02869837', 'n01749939', 'n02488291', 'n02107142', 'n13037406', 'n02091831',
    'n04517823', 'n04589890', 'n03062245', 'n01773797', 'n01735189', 'n07831146',
    'n07753275', 'n03085013', 'n04485082', 'n02105505', 'n01983481', 'n02788148',
    'n03530642', 'n04435653', 'n02086910', 'n02859443', 'n13040303', 'n03594734',
    'n02085620', 'n02099849', 'n01558993', 'n04493381', 'n02109047', 'n04111531',
    'n02877765', 'n04429376', 'n02009229', 'n01978455', 'n02106550', 'n01820546',
    'n01692333', 'n07714571', 'n02974003', 'n02114855', 'n03785016', 'n03764736',
    'n03775546', 'n02087046', 'n07836838', 'n04099969', 'n04592741', 'n03891251',
    'n02701002', 'n03379051', 'n02259212', 'n07715103', 'n03947888', 'n04026417',
    'n02326432', 'n03637318', 'n01980166', 'n02113799', 'n02086240', 'n03903868',
    'n02483362', 'n04127249', 'n02089973', 'n03017168', 'n02093428', 'n02804414',
    'n02396427', 'n04418357', 'n02172182', 'n01729322', 'n02113978', 'n03787032',
    'n02089867', 'n02119022', 'n03777754', 'n04238763', 'n02231487', 'n03032252',
    'n02138441', 'n02104029', 'n03837869', 'n03494278', 'n04136333', 'n03794056',
    'n03492542', 'n02018207', 'n04067472', 'n03930630', 'n03584829', 'n02123045',
    'n04229816', 'n02100583', 'n03642806', 'n04336792', 'n03259280', 'n02116738',
    'n02108089', 'n03424325', 'n01855672', 'n02090622',
)
# fmt: on


@DATASETS.register_module()
class ImageNet100(ImageFolder):
    """The images of `data_root/split/<wnid>/*` whose wnid is in `wnids`.

    Args:
        data_root: Folder of ImageNet, or of a copy with these classes.
        split: 'train', the default, or 'val'.
        wnids: WordNet ids. Labels follow their sorted order. Default: the 100 classes of
            CMC.
        pipeline: Configs of transforms. Default: none.
        bad_samples, max_bad: What happens to bad images, as in `ImageFolder`.

    Raises:
        FileNotFoundError: If class folders are missing. The message names the first one.
        ValueError, BadImage: As `ImageFolder` raises them.
    """

    def __init__(
        self,
        *,
        data_root: str,
        split: str = 'train',
        wnids: tuple[str, ...] = CMC_CLASSES,
        pipeline: Sequence = (),
        bad_samples: str = 'raise',
        max_bad: float = 0.01,
    ) -> None:
        folder = Path(data_root).expanduser() / split
        missing = [wnid for wnid in wnids if not (folder / wnid).is_dir()]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(wnids)} class folders are missing in {folder}, '
                f'the first is {missing[0]}; pass --data-root DIR with '
                'DIR/train/<wnid>/*.JPEG and DIR/val/<wnid>/*.JPEG'
            )
        self.wnids = sorted(wnids)
        super().__init__(
            data_root=str(Path(data_root).expanduser()),
            data_prefix=split,
            pipeline=pipeline,
            bad_samples=bad_samples,
            max_bad=max_bad,
        )

    def _find_samples(self) -> list[tuple[str, int]]:
        self._metainfo['classes'] = tuple(self.wnids)
        return [
            (f'{wnid}/{path.name}', label)
            for label, wnid in enumerate(self.wnids)
            for path in sorted((Path(self.img_prefix) / wnid).iterdir())
            if self.is_valid_file(path.name)
        ]
