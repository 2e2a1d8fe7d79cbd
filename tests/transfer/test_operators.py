"""mmcv's operators from torchvision: each against loops that read like its definition.

All but the kernels is mmcv's own Python, so the tests call that.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
import torchvision
from helpers import ROOT
from mmcv.ops import RoIAlign, batched_nms, nms, roi_align, sigmoid_focal_loss, soft_nms
from mmengine.model import revert_sync_batchnorm
from mmengine.utils.dl_utils import mmcv_full_available
from torch import Tensor

from mmlogo.transfer import operators as ops

pytestmark = pytest.mark.skipif(
    ops.is_compiled(), reason="mmcv's own operators are compiled here; nothing to serve"
)


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request) -> str:
    return request.param


def run(code: str, folder: Path | None = None) -> str:
    """What a new interpreter prints."""
    env = os.environ | {'PYTHONPATH': str(ROOT), 'PYTHONWARNINGS': 'always'}
    done = subprocess.run(
        [sys.executable, '-c', code, str(folder)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- nms -----------------------------------------------------------------------------


def random_boxes(n: int) -> tuple[Tensor, Tensor]:
    """Each with one beside it that is nearly the same."""
    corner, size = torch.rand(n // 2, 2) * 20, torch.rand(n // 2, 2) * 12 + 1
    boxes = torch.cat((corner, corner + size), dim=1).repeat(2, 1)
    return boxes + torch.rand(len(boxes), 4), torch.rand(len(boxes))


def loop_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """In float32, one pair at a time."""
    one = np.float32(1)
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -float(scores[i])):
        for j in kept:
            (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = boxes[i].numpy(), boxes[j].numpy()
            w = min(ax2, bx2) - max(ax1, bx1) + offset * one
            h = min(ay2, by2) - max(ay1, by1) + offset * one
            both = max(w, 0 * one) * max(h, 0 * one)
            a = (ax2 - ax1 + offset * one) * (ay2 - ay1 + offset * one)
            b = (bx2 - bx1 + offset * one) * (by2 - by1 + offset * one)
            if both / (a + b - both) > np.float32(threshold):
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms_is_the_loop(device, offset, threshold) -> None:
    boxes, scores = random_boxes(80)
    right = loop_nms(boxes, scores, threshold, offset)
    assert 1 < len(right) < 80
    dets, kept = nms(boxes.to(device), scores.to(device), threshold, offset)
    assert kept.tolist() == right
    assert kept.dtype == torch.int64
    assert torch.equal(dets.cpu(), torch.cat((boxes, scores[:, None]), 1)[right])


@pytest.mark.parametrize('order', [[0, 1, 2, 3], [1, 0, 3, 2]], ids=['wide', 'high'])
def test_the_offset_counts_the_last_pixel(order) -> None:
    # 10 of 15 shared, or with the last pixels 11 of 16: in the long direction alone
    boxes = torch.tensor([[0.0, 0, 12.5, 9], [2.5, 0, 15, 9]])[:, order]
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.67, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.67, offset=1)[1].tolist() == [0]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('tenths', range(1, 10))
def test_boxes_that_overlap_by_just_the_threshold_stay(offset, tenths) -> None:
    boxes = torch.tensor([[0.0, 0, 10 - offset, 9], [0.0, 0, tenths - offset, 9]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, tenths / 10, offset)[1].tolist() == [0, 1]
    assert nms(boxes, scores, tenths / 10 - 0.001, offset)[1].tolist() == [0]


def test_of_equal_scores_the_first_is_kept() -> None:
    boxes, _ = random_boxes(40)
    kept = nms(boxes, torch.full((40,), 0.5), 0.3)[1].tolist()
    assert kept == loop_nms(boxes, torch.full((40,), 0.5), 0.3, 0)
    assert kept == sorted(kept)


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_of_nothing(offset) -> None:
    dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_nms_of_the_scores_above_a_threshold_and_the_first_few() -> None:
    boxes, scores = random_boxes(60)
    above = [i for i in loop_nms(boxes, scores, 0.3, 0) if scores[i] > 0.4]
    assert nms(boxes, scores, 0.3, score_threshold=0.4)[1].tolist() == above
    assert len(above) > 4
    kept = nms(boxes, scores, 0.3, score_threshold=0.4, max_num=4)[1]
    assert kept.tolist() == above[:4]


def test_nms_takes_what_autocast_makes() -> None:
    boxes, scores = random_boxes(60)
    scores = scores.bfloat16()
    right = loop_nms(boxes, scores.float(), 0.3, 0)
    assert nms(boxes, scores, 0.3)[1].tolist() == right
    # one pixel apart, beside 1000, where bfloat16 has every eighth
    boxes = torch.tensor([[1000.0, 0, 1008, 8], [1000, 0, 1016, 8]]).bfloat16()
    scores = torch.tensor([0.9, 0.8]).bfloat16()
    assert nms(boxes, scores, 0.52, offset=1)[1].tolist() == [0]  # 9/17
    assert nms(boxes, scores, 0.54, offset=1)[1].tolist() == [0, 1]


@pytest.mark.parametrize('split', [10000, 20], ids=['at once', 'class by class'])
def test_batched_nms_is_a_loop_over_classes(device, split) -> None:
    boxes, scores = random_boxes(80)
    classes = torch.randint(3, (80,))
    right = []
    for label in range(3):
        (places,) = (classes == label).nonzero(as_tuple=True)
        right += [int(places[k]) for k in loop_nms(boxes[places], scores[places], 0.3, 0)]
    right.sort(key=lambda i: -float(scores[i]))
    assert right != loop_nms(boxes, scores, 0.3, 0)
    cfg = dict(type='nms', iou_threshold=0.3, split_thr=split, max_num=30)
    data = (tensor.to(device) for tensor in (boxes, scores, classes))
    dets, kept = batched_nms(*data, cfg)
    assert kept.tolist() == right[:30]
    assert torch.equal(dets[:, 4].cpu(), scores[right[:30]])


# --- RoIAlign ------------------------------------------------------------------------

ROIS = torch.tensor(
    [
        [0, 3.0, 5.0, 21.0, 17.5],
        [1, -9.0, -4.0, 12.0, 9.0],  # partly outside, above and left
        [1, 20.0, 14.0, 47.0, 33.0],  # and below and right
        [0, 60.0, 60.0, 70.0, 70.0],  # all outside
        [0, 7.3, 7.1, 7.9, 7.6],  # less than a pixel
    ],
    dtype=torch.float64,
)
SETTINGS = [
    pytest.param(0.5, 0, True, id='dense'),
    pytest.param(0.5, 2, True, id='2 samples'),
    pytest.param(0.5, 0, False, id='dense, not aligned'),
    pytest.param(0.25, 2, False, id='2 samples, not aligned'),
]


def bilinear(image: np.ndarray, y: float, x: float) -> float:
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    return sum(
        image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
        for row in {math.floor(y), math.ceil(y)}
        for column in {math.floor(x), math.ceil(x)}
    )


def loop_roi_align(
    x: np.ndarray,
    rois: np.ndarray,
    size: tuple[int, int],
    scale: float,
    samples: int,
    aligned: bool,
) -> np.ndarray:
    """The mean of the samples of every bin, one at a time."""
    out = np.zeros((len(rois), x.shape[1], *size))
    for (k, c, i, j), _ in np.ndenumerate(out):
        image = x[int(rois[k, 0]), c]
        x1, y1, x2, y2 = rois[k, 1:] * scale - 0.5 * aligned
        least = 0.0 if aligned else 1.0
        h, w = max(y2 - y1, least) / size[0], max(x2 - x1, least) / size[1]
        rows, columns = samples or math.ceil(h), samples or math.ceil(w)
        values = [
            bilinear(
                image, y1 + (i + (a + 0.5) / rows) * h, x1 + (j + (b + 0.5) / columns) * w
            )
            for a in range(rows)
            for b in range(columns)
        ]
        out[k, c, i, j] = np.mean(values) if values else 0
    return out


@pytest.mark.parametrize(('scale', 'samples', 'aligned'), SETTINGS)
def test_roi_align_is_the_loop(device, scale, samples, aligned) -> None:
    x = torch.randn(2, 3, 14, 20, dtype=torch.float64)
    right = loop_roi_align(x.numpy(), ROIS.numpy(), (3, 2), scale, samples, aligned)
    assert np.abs(right).max() > 0.5
    assert not right[3].any()
    x, rois = x.to(device), ROIS.to(device)
    for cast, tolerance in ((Tensor.double, 1e-12), (Tensor.float, 1e-5)):
        done = roi_align(cast(x), cast(rois), (3, 2), scale, samples, 'avg', aligned)
        assert done.dtype == cast(x).dtype
        np.testing.assert_allclose(done.cpu(), right, atol=tolerance)
        layer = RoIAlign((3, 2), scale, samples, 'avg', aligned)
        assert torch.equal(layer(cast(x), cast(rois)), done)


@pytest.mark.parametrize(('scale', 'samples', 'aligned'), SETTINGS)
def test_the_gradient_of_roi_align(device, scale, samples, aligned) -> None:
    x = torch.randn(2, 1, 6, 5, dtype=torch.float64, device=device, requires_grad=True)
    rois = ROIS.to(device) * 0.4
    rois[:, 0] = ROIS[:, 0]

    def pooled(x: Tensor) -> Tensor:
        return roi_align(x, rois, (2, 2), scale, samples, 'avg', aligned)

    # mmcv's backward can be derived no further, and atomic sums have no fixed order
    assert torch.autograd.gradcheck(pooled, (x,), nondet_tol=1e-12)
    pooled(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 1


def test_roi_align_of_no_boxes() -> None:
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    done = RoIAlign(7)(x, torch.zeros(0, 5))
    assert done.shape == (0, 3, 7, 7)
    done.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_roi_align_of_bfloat16_is_a_sum_in_float32() -> None:
    x = torch.randn(2, 3, 14, 20).bfloat16().requires_grad_()
    rois = (ROIS * 4).round().div(4).bfloat16()
    done = roi_align(x, rois, (3, 2), 0.5, 0, 'avg', True)
    right = loop_roi_align(
        x.detach().double().numpy(), rois.double().numpy(), (3, 2), 0.5, 0, True
    )
    assert done.dtype == torch.bfloat16
    np.testing.assert_allclose(done.detach().double(), right, rtol=2**-8, atol=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        roi_align(x, rois, (3, 2), 0.5, 0, 'avg', True).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    assert x.grad.any()


def test_max_pooling_says_what_to_do() -> None:
    with pytest.raises(NotImplementedError, match=r"roi_align with pool_mode='max'.*'avg'"):
        RoIAlign(2, pool_mode='max')(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5))


# --- focal loss ----------------------------------------------------------------------


def loop_focal_loss(
    x: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor | None = None
) -> Tensor:
    """Equation 5 of the paper in float64, one logit at a time; autograd goes through."""
    rows = []
    for n, label in enumerate(target.tolist()):
        row = []
        for c in range(x.shape[1]):
            p = 1 / (1 + torch.exp(-x[n, c]))
            p_t, alpha_t = (p, alpha) if c == label else (1 - p, 1 - alpha)
            loss = -alpha_t * (1 - p_t) ** gamma * torch.log(p_t)
            row.append(loss if weight is None else loss * weight[label])
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_focal_loss_is_the_paper(device, gamma, alpha, reduction, weighted) -> None:
    x = (torch.randn(6, 4, dtype=torch.float64) * 3).requires_grad_()
    # 4 is the background, and -1 what mmdet calls ignored: negatives of every class
    target = torch.tensor([0, 3, 1, 1, 2, 0] if weighted else [0, 3, 4, -1, 2, 4])
    weight = torch.tensor([0.5, 2, 3, 1.5], dtype=torch.float64) if weighted else None
    right = loop_focal_loss(x, target, gamma, alpha, weight)
    right = {'none': right, 'sum': right.sum(), 'mean': right.sum() / 6}[reduction]
    upstream = torch.rand_like(right)
    (grad,) = torch.autograd.grad(right, x, upstream)

    z = x.detach().to(device).requires_grad_()
    w = weight if weight is None else weight.to(device)
    loss = sigmoid_focal_loss(z, target.to(device), gamma, alpha, w, reduction)
    (done,) = torch.autograd.grad(loss, z, upstream.to(device))
    torch.testing.assert_close(loss.cpu(), right.detach())
    torch.testing.assert_close(done.cpu(), grad)


def test_focal_loss_is_torchvisions() -> None:
    x, target = torch.randn(20, 5), torch.randint(5, (20,))
    one_hot = torch.nn.functional.one_hot(target, 5).float()
    torch.testing.assert_close(
        sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'none'),
        torchvision.ops.sigmoid_focal_loss(x, one_hot, alpha=0.25, gamma=2.0),
    )


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_focal_loss_of_certain_logits_is_finite(gamma) -> None:
    x = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(x, torch.tensor([0, 0]), gamma, 0.25, None, 'none')
    loss.sum().backward()
    assert loss[0].tolist() == [0, 0]
    assert loss[1].tolist() == [50, 150]  # 200 alpha, 200 (1 - alpha)
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0], [-0.25, 0.75]]


@pytest.mark.parametrize('label', [-1, 3])
def test_a_label_without_a_weight_is_named(label) -> None:
    with pytest.raises(ValueError, match=rf'label {label}.*labels in \[0, 3\)'):
        sigmoid_focal_loss(
            torch.zeros(2, 3), torch.tensor([0, label]), 2.0, 0.25, torch.ones(3), 'none'
        )


# --- the stand-in --------------------------------------------------------------------


def test_an_operator_that_torchvision_has_not_is_named_when_called() -> None:
    boxes, scores = random_boxes(4)
    with pytest.raises(NotImplementedError, match=r'(?s)operator softnms.*--no-binary'):
        soft_nms(boxes, scores)
    with pytest.raises(NotImplementedError, match='operator deform_conv_forward'):
        mmcv.ops.DeformConv2d(1, 1, 1)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))


def test_the_stand_in_says_what_it_is() -> None:
    module = sys.modules[ops.EXTENSION]
    assert 'torchvision' in repr(module)
    assert not hasattr(module, '__file__')
    assert torchvision.__version__ in mmcv.ops.get_compiler_version()
    assert not ops.is_compiled()


def test_installing_twice_is_installing_once() -> None:
    ops.install()
    assert sum(isinstance(finder, ops.StandIn) for finder in sys.meta_path) == 1


def test_mmengine_takes_it_for_operators() -> None:
    # and then imports mmcv.ops, which has to work
    assert mmcv_full_available()
    model = torch.nn.Sequential(torch.nn.SyncBatchNorm(4))
    assert not isinstance(revert_sync_batchnorm(model)[0], torch.nn.SyncBatchNorm)


def test_importing_mmlogo_imports_none_of_it() -> None:
    heavy = run(
        'import sys, mmlogo\n'
        "print([name for name in ('torch', 'mmcv', 'mmengine', 'mmpretrain', 'mmdet')"
        ' if name in sys.modules])'
    )
    assert heavy == '[]'


FAKE = """
import sys, warnings
import mmcv
mmcv.__path__.append(sys.argv[1])
import mmlogo
from mmlogo.transfer import operators as ops
with warnings.catch_warnings(record=True) as caught:
    import mmcv._ext
    print(getattr(mmcv._ext, 'nms', 0), *(w.message for w in caught))
    try:
        print(ops.is_compiled())
    except ImportError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_compiled_extension_is_left_alone(tmp_path) -> None:
    (tmp_path / '_ext.py').write_text("nms = 'its own'")
    assert run(FAKE, tmp_path).splitlines() == ['its own', 'True']


@pytest.mark.slow
def test_an_extension_that_does_not_load_is_replaced_and_named(tmp_path) -> None:
    (tmp_path / f'_ext{EXTENSION_SUFFIXES[0]}').write_text('of another torch')
    used, why = run(FAKE, tmp_path).splitlines()
    assert used.startswith('<function nms')
    assert 'compiled operators do not load' in used
    assert 'mmlogo.doctor' in used
    assert str(tmp_path) in why


# --- mmdet ---------------------------------------------------------------------------


@pytest.fixture
def mmdet() -> Iterator[Callable[[str], dict]]:
    """`mmdet(name)`: a config of mmdet, without downloads."""
    pytest.importorskip(
        'mmdet', reason="mmdet is not installed; pip install -e '.[detection]'"
    )
    from mmdet.utils import register_all_modules
    from mmengine.hub import get_config
    from mmengine.registry import DefaultScope

    register_all_modules(init_default_scope=False)

    def model(name: str) -> dict:
        cfg = get_config(f'mmdet::{name}').model
        cfg.backbone.init_cfg = None
        return cfg

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield model


LATE = """
import mmpretrain.models
import mmlogo.models
from mmengine.registry import init_default_scope
from mmlogo.launch import find_type
from mmlogo.registry import MODELS
from mmlogo.transfer.operators import is_half_imported
init_default_scope('mmlogo')
print(is_half_imported(), type(MODELS.build(dict(type='ResNet', depth=18))).__name__)
for use in (lambda: __import__('mmdet.models'), lambda: find_type('RPN', 'mmdet')):
    try:
        print(use())
    except ImportError as error:
        print(error)
"""


@pytest.mark.slow
def test_mmdet_that_was_imported_before_is_refused_when_it_is_used() -> None:
    """mmpretrain's models import it; who wants no detector never hears of that."""
    pytest.importorskip('mmdet')
    lines = [line for line in run(LATE).splitlines() if 'OneDL' not in line]
    built, *refused = lines[-3:]
    assert built == 'True ResNet'
    for text in refused:
        assert 'mmdet was imported before mmlogo' in text
        assert 'such as mmdet.structures.mask.structures' in text
        assert 'import mmlogo before mmdet and before mmpretrain.models' in text


EARLY = """
import mmdet.registry, mmdet.version  # which ask for no operator
import mmlogo, mmcv.ops, mmdet.models
from mmdet.models.dense_heads import rpn_head
print(rpn_head.batched_nms is mmcv.ops.batched_nms)
"""


@pytest.mark.slow
def test_of_mmdet_what_asks_for_no_operator_may_come_first() -> None:
    pytest.importorskip('mmdet')
    assert run(EARLY).splitlines()[-1] == 'True'


@pytest.mark.slow
def test_masks_are_cropped_to_their_targets(mmdet) -> None:
    from mmdet.structures.mask import BitmapMasks

    mask = np.zeros((1, 16, 16), dtype=np.uint8)
    mask[0, 4:12, 4:8] = 1
    boxes = np.array([[4, 4, 12, 12]], dtype=np.float32)
    target = BitmapMasks(mask, 16, 16).crop_and_resize(boxes, (4, 4), np.array([0]))
    assert target.masks[0].tolist() == [[1, 1, 0, 0]] * 4


@pytest.mark.slow
def test_the_focal_loss_of_retinanet_is_the_same_on_every_device(mmdet) -> None:
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import sigmoid_focal_loss as of_cuda

    x, target, weight = torch.randn(9, 5), torch.randint(6, (9,)), torch.rand(9)
    one_hot = torch.nn.functional.one_hot(target, 6)[:, :5]
    right = py_sigmoid_focal_loss(x, one_hot, weight, avg_factor=3.0)
    torch.testing.assert_close(of_cuda(x, target, weight, avg_factor=3.0), right)


@pytest.mark.slow
def test_mask_rcnn_trains_and_predicts(mmdet, device) -> None:
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    cfg = mmdet('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    cfg.backbone.update(depth=18, frozen_stages=-1, norm_eval=False)
    cfg.neck.in_channels = [64, 128, 256, 512]
    cfg.test_cfg.rcnn.score_thr = 0.0
    detector = MODELS.build(cfg).to(device)
    assert isinstance(detector.roi_head.bbox_roi_extractor.roi_layers[0], RoIAlign)

    samples = []
    for x1, y1, x2, y2 in ((8, 8, 40, 56), (16, 20, 60, 44)):
        mask = np.zeros((1, 64, 64), dtype=np.uint8)
        mask[0, y1:y2, x1:x2] = 1
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(64, 64),
                ori_shape=(64, 64),
                pad_shape=(64, 64),
                batch_input_shape=(64, 64),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32),
            labels=torch.tensor([3]),
            masks=BitmapMasks(mask, 64, 64),
        )
        samples.append(sample)
    batch = dict(
        inputs=list(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)),
        data_samples=samples,
    )
    optimizer = torch.optim.SGD(detector.parameters(), 1e-3)
    losses = detector(**detector.data_preprocessor(batch, True), mode='loss')
    total, logged = detector.parse_losses(losses)
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= {
        *logged
    }
    assert total.isfinite()
    assert logged['loss_mask'] > 0
    total.backward()
    without = [
        name
        for name, parameter in detector.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert not without
    assert detector.neck.fpn_convs[0].conv.weight.grad.any()  # through RoIAlign
    optimizer.step()

    detector.eval()
    with torch.no_grad():
        done = detector.test_step(batch)
    for sample in done:
        found = sample.pred_instances
        assert 0 < len(found) <= 100
        assert found.masks.shape == (len(found), 64, 64)
        boxes, labels = found.bboxes.cpu(), found.labels.cpu()
        for label in labels.unique():
            own = boxes[labels == label]
            assert loop_nms(own, -torch.arange(len(own)), 0.5, 0) == list(range(len(own)))
