"""From a checkpoint to AP through the commands that users type, on real photographs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch
from helpers import ROOT, scalars, tool
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.config import load_config
from mmlogo.launch.lint import check_keys
from mmlogo.transfer.operators import is_compiled
from mmlogo.transfer.trunk import trunk_of

pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")

MINI = ('mask_rcnn_r18_fpn', 'faster_rcnn_r18_c4', 'retinanet_r18_fpn')
# two images of a size that a CPU does at once
QUICK = (
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'param_scheduler.0.end=2',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
)


def name_of(mini: str) -> str:
    return f'mmlogo::detection/{mini}_coco_mini.py'


class EnoughError(Exception):
    pass


class Look(Hook):
    """Keep what the model has when training begins, and end it there."""

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        trunk = trunk_of(runner.model)
        self.state = {name: x.clone() for name, x in trunk.state_dict().items()}
        raise EnoughError


@pytest.mark.parametrize('mini', MINI)
def test_every_tensor_arrives_in_a_runner(mini, tiny_coco, resnets, tmp_path, capfd):
    source, path = resnets(18)
    cfg = load_config(name_of(mini))
    launch.set_data_root(cfg, str(tiny_coco))
    launch.set_pretrained(cfg, str(path))
    launch.divide_global_batch(cfg)
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(look := Look())
    with pytest.raises(EnoughError):
        runner.train()
    want = source.state_dict()
    assert len(look.state) == 120
    for key, value in look.state.items():
        assert torch.equal(value, want[key]), key
    said = capfd.readouterr().err + (next(tmp_path.glob('*/*.log'))).read_text()
    assert '120 tensors matched, 2 unexpected (fc.weight, fc.bias); 60 of 60' in said


@pytest.mark.slow
@pytest.mark.parametrize('mini', MINI)
def test_it_trains_and_is_scored(mini, tiny_coco, resnets, tmp_path):
    _, path = resnets(18)
    common = ('--data-root', tiny_coco, '--work-dir')
    # a dense detector is sure of nothing so soon, and nothing has no AP
    sure = ('model.test_cfg.score_thr=0.0',) if 'retina' in mini else ()
    more = ('--pretrained', path, '--cfg-options', *QUICK, *sure)
    tool('train', name_of(mini), *common, tmp_path / 'w', *more)
    records = scalars(tmp_path / 'w')
    losses = [record['loss'] for record in records if 'loss' in record]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    found = {key: value for key, value in records[-1].items() if key.startswith('coco/')}
    kinds = ('bbox', 'segm') if 'mask' in mini else ('bbox',)
    assert {f'coco/{kind}_mAP' for kind in kinds} <= set(found)
    assert all(-1 <= value <= 1 for value in found.values())

    options = ('--cfg-options', *sure) if sure else ()
    tool(
        'test',
        name_of(mini),
        tmp_path / 'w' / 'iter_2.pth',
        *common,
        tmp_path / 't',
        *options,
    )
    (log,) = (tmp_path / 't').glob('*/[0-9]*.json')
    again = json.loads(log.read_text())
    for key, value in found.items():
        assert again[key] == pytest.approx(value, abs=1e-3), key


@pytest.mark.slow
def test_it_learns_four_photographs_by_heart(tiny_coco, resnets, tmp_path):
    """Boxes, masks and classes: that gradients of every part lead where they should."""
    _, path = resnets(18)
    tool(
        *('train', name_of('mask_rcnn_r18_fpn'), '--pretrained', path),
        *('--data-root', tiny_coco, '--work-dir', tmp_path, '--cfg-options'),
        *('train_cfg.max_iters=120', 'train_cfg.val_interval=120'),
        *('train_dataloader.batch_size=4', 'param_scheduler.1.milestones=[90]'),
        'optim_wrapper.optimizer.lr=0.02',
        'train_dataloader.dataset.pipeline.2.scales=[(160,120)]',
        'val_dataloader.dataset.pipeline.1.scale=(160,120)',
    )
    (found,) = (x for x in scalars(tmp_path) if 'coco/bbox_mAP' in x)
    assert found['coco/bbox_mAP_50'] > 0.6
    assert found['coco/segm_mAP_50'] > 0.6


RANKS = """
import json
from pathlib import Path
import torch
from mmengine.dist import all_gather, is_main_process
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.nn.modules.batchnorm import _BatchNorm

@HOOKS.register_module()
class Ranks(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        norms = [x for x in runner.model.modules() if isinstance(x, _BatchNorm)]
        ranks = all_gather(torch.cat([x.running_mean for x in norms]))
        if is_main_process():
            kinds = sorted({type(x).__name__ for x in norms})
            content = dict(kinds=kinds, ranks=[x.tolist() for x in ranks])
            Path(runner.work_dir, 'ranks.json').write_text(json.dumps(content))
"""


@pytest.mark.slow
def test_two_processes_on_a_cpu_with_synchronised_norms(tiny_coco, resnets, tmp_path):
    _, path = resnets(18)
    (tmp_path / 'ranks.py').write_text(RANKS)
    (tmp_path / 'mine.py').write_text(
        f"_base_ = '{name_of('mask_rcnn_r18_fpn')}'\n"
        "custom_imports = dict(imports=['ranks'])\ncustom_hooks = [dict(type='Ranks')]\n"
    )
    words = (ROOT / 'tools' / 'dist_train.sh', tmp_path / 'mine.py', 2)
    words += ('--data-root', tiny_coco, '--work-dir', tmp_path, '--pretrained', path)
    words += ('--cfg-options', *QUICK)
    python_path = f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    subprocess.run(
        [*map(str, words)],
        check=True,
        cwd=ROOT,
        timeout=600,
        env=os.environ | dict(PYTHONPATH=python_path),
    )
    records = scalars(tmp_path)
    assert [np.isfinite(x['loss']) for x in records if 'loss' in x] == [True, True]
    assert 'coco/segm_mAP' in records[-1]
    # each rank saw images of its own, and yet both have the same statistics
    found = json.loads((tmp_path / 'ranks.json').read_text())
    assert found['kinds'] == ['AllReduceBN']
    assert found['ranks'][0] == pytest.approx(found['ranks'][1], rel=1e-5, abs=1e-7)


@pytest.mark.slow
def test_a_resumed_run_keeps_what_it_learnt(tiny_coco, resnets, tmp_path):
    _, path = resnets(18)
    words = ('--data-root', tiny_coco, '--work-dir', tmp_path, '--pretrained', path)
    tool('train', name_of('retinanet_r18_fpn'), *words, '--cfg-options', *QUICK)
    longer = [option for option in QUICK if 'iters' not in option and 'val_' not in option]
    longer += ['train_cfg.max_iters=3', 'train_cfg.val_interval=10']
    tool(
        *('train', name_of('retinanet_r18_fpn'), *words, '--resume'),
        *('--cfg-options', *longer),
    )
    newest = sorted(tmp_path.glob('*/*.log'))[-1].read_text()
    assert 'Resumed: pretrained weights are not loaded again' in newest
    assert 'tensors matched' not in newest
    assert [x['iter'] for x in scalars(tmp_path) if 'loss' in x] == [3]


class TestEvaluation:
    """tools/test.py scores what was trained, and refuses to score what was drawn."""

    @pytest.mark.slow
    def test_of_another_network(self, tiny_coco, resnets, tmp_path):
        _, path = resnets(18)
        tensors = torch.load(path, weights_only=True)
        torch.save(
            dict(state_dict={f'backbone.{name}': x for name, x in tensors.items()}),
            tmp_path / 'pretraining.pth',
        )
        with pytest.raises(ValueError, match=r'neck\..* not in it.* give the config'):
            tool(
                *('test', name_of('mask_rcnn_r18_fpn'), tmp_path / 'pretraining.pth'),
                *('--data-root', tiny_coco, '--work-dir', tmp_path),
            )

    def test_the_truth_scores_one(self, tiny_coco):
        """And a box of another image nothing: scores belong to these annotations."""
        from mmdet.registry import DATASETS, METRICS
        from mmdet.structures.mask import encode_mask_results

        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        launch.set_data_root(cfg, str(tiny_coco))
        dataset = DATASETS.build(cfg.test_dataloader.dataset)

        def score(turn: int) -> tuple[float, float]:
            metric = METRICS.build(cfg.test_evaluator)
            metric.dataset_meta = dataset.metainfo
            samples = [sample['data_samples'] for sample in dataset]
            results = []
            for place, sample in enumerate(samples):
                truth = samples[(place + turn) % len(samples)].gt_instances
                boxes = truth.bboxes.tensor  # read after resizing: in the file's pixels
                masks = []
                for x1, y1, x2, y2 in boxes.round().int().tolist():
                    mask = np.zeros(sample.ori_shape, dtype=bool)
                    mask[y1:y2, x1:x2] = True
                    masks.append(mask)
                predicted = dict(
                    bboxes=boxes,
                    labels=truth.labels,
                    scores=torch.ones(len(boxes)),
                    masks=encode_mask_results(masks),
                )
                results.append(
                    dict(
                        img_id=sample.img_id,
                        ori_shape=sample.ori_shape,
                        pred_instances=predicted,
                    )
                )
            metric.process({}, results)
            found = metric.evaluate(len(results))
            return found['coco/bbox_mAP'], found['coco/segm_mAP']

        assert score(0) == (1, 1)
        assert score(1) == (0, 0)

    def test_no_bfloat16(self):
        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        if torch.cuda.is_available():
            launch.use_half_precision(cfg)
            assert cfg.test_cfg.fp16
        else:
            with pytest.raises(ValueError, match='move the corners of boxes'):
                launch.use_half_precision(cfg)


def test_a_checkpoint_of_nothing_stops_it(tiny_coco, tmp_path):
    torch.save({'a.weight': torch.ones(2)}, tmp_path / 'other.pth')
    words = (name_of('retinanet_r18_fpn'), '--data-root', tiny_coco, '--work-dir', tmp_path)
    with pytest.raises(ValueError, match=r'other\.pth has no tensor of the backbone'):
        tool('train', *words, '--pretrained', tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='was given none; pass --pretrained CKPT'):
        tool('train', *words)


class TestVOC:
    """Of a config of which only the size is changed."""

    NAME = 'mmlogo::detection/faster_rcnn_r50_c4_24k_voc0712.py'
    SMALL = (
        'model.backbone.depth=18',
        'model.rpn_head.in_channels=256',
        'model.rpn_head.feat_channels=32',
        'model.roi_head.shared_head.depth=18',
        'model.roi_head.bbox_roi_extractor.out_channels=256',
        'model.roi_head.bbox_head.in_channels=512',
        'model.train_cfg.rcnn.sampler.num=8',
        'model.test_cfg.rpn.max_per_img=10',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'train_dataloader.batch_size=2',
        *(
            f'train_dataloader.dataset.datasets.{i}.pipeline.2.scales=[(160,120)]'
            for i in (0, 1)
        ),
        'val_dataloader.dataset.pipeline.1.scale=(160,120)',
    )

    def test_boxes(self, tiny_voc):
        from mmdet.registry import DATASETS

        cfg = load_config(self.NAME)
        launch.set_data_root(cfg, str(tiny_voc))
        check_keys(cfg)
        launch.check_data_roots(cfg)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        assert len(dataset) == 8  # of both years
        assert dataset.metainfo['classes'][0] == 'aeroplane'
        astronaut = dataset.get_data_info(0)
        # corners from zero; the small dog counts, what is difficult does not
        assert [x['bbox'] for x in astronaut['instances']] == [
            [40, 6, 119, 113],
            [10, 10, 29, 29],
            [100, 10, 149, 59],
        ]
        assert [x['ignore_flag'] for x in astronaut['instances']] == [0, 0, 1]
        sample = dataset[0]
        assert min(sample['inputs'].shape[1:]) in range(480, 801, 32)
        assert len(sample['data_samples'].gt_instances) == 2
        test = DATASETS.build(cfg.test_dataloader.dataset)
        assert (len(test), min(test[0]['inputs'].shape[1:])) == (4, 800)

    def test_the_metric(self, tiny_voc, monkeypatch):
        """The truth scores 1 everywhere, boxes of IoU 0.6 just below it."""
        from mmdet.evaluation.functional import mean_ap
        from mmdet.registry import DATASETS, METRICS

        # it starts four processes for each of ten IoUs, to match eight boxes
        monkeypatch.setattr(mean_ap, 'Pool', ThreadPool)
        cfg = load_config(self.NAME)
        launch.set_data_root(cfg, str(tiny_voc))
        assert cfg.test_evaluator.eval_mode == '11points'
        dataset = DATASETS.build(cfg.test_dataloader.dataset)

        def score(shrink: float) -> dict:
            metric = METRICS.build(cfg.test_evaluator)
            metric.dataset_meta = dataset.metainfo
            samples = []
            for sample in dataset:
                truth = sample['data_samples'].gt_instances
                boxes = truth.bboxes.tensor.clone()
                boxes[:, 2] -= (1 - shrink) * (boxes[:, 2] - boxes[:, 0] + 1)
                samples.append(
                    dict(
                        gt_instances=dict(labels=truth.labels, bboxes=truth.bboxes.tensor),
                        ignored_instances=dict(
                            labels=(x := sample['data_samples'].ignored_instances).labels,
                            bboxes=x.bboxes.tensor,
                        ),
                        pred_instances=dict(
                            labels=truth.labels, bboxes=boxes, scores=torch.ones(len(boxes))
                        ),
                    )
                )
            metric.process({}, samples)
            return metric.evaluate(len(samples))

        found = score(1.0)
        names = [f'pascal_voc/AP{iou}' for iou in range(50, 100, 5)]
        assert [found[name] for name in names] == [1] * 10
        assert found['pascal_voc/mAP'] == 1
        found = score(0.62)
        assert [found[name] for name in names] == [1, 1, 1] + [0] * 7
        assert found['pascal_voc/mAP'] == pytest.approx(0.3)

    @pytest.mark.slow
    def test_it_trains_and_is_scored(self, tiny_voc, resnets, tmp_path):
        _, path = resnets(18)
        common = ('--data-root', tiny_voc, '--work-dir', tmp_path)
        options = ('--cfg-options', *QUICK, *self.SMALL)
        tool('train', self.NAME, *common, '--pretrained', path, *options)
        records = scalars(tmp_path)
        assert sum('loss' in record for record in records) == 2
        assert {'pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75'} <= set(records[-1])


class TestCommandLine:
    def test_annotations_move_with_the_data_root(self, tiny_coco):
        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        launch.set_data_root(cfg, str(tiny_coco))
        file = str(tiny_coco / 'annotations' / 'instances_val2017.json')
        assert (cfg.val_evaluator.ann_file, cfg.test_evaluator.ann_file) == (file, file)

    @pytest.mark.parametrize(
        ('before', 'file'), [('data/coco', 'a/b.json'), ('data/coco/', 'x.json')]
    )
    def test_only_what_lies_below_the_old_root_moves(self, before, file, tmp_path):
        def dataset(root: str) -> dict:
            return dict(dataset=dict(type='CocoDataset', data_root=root))

        metric = dict(
            type='CocoMetric', ann_file=f'data/coco/{file}', seg_prefix='data/coco/seg'
        )
        other = dict(type='CocoMetric', ann_file=None, outfile_prefix='data/coco_out/x')
        cfg = Config(
            dict(
                train_dataloader=dataset(before),
                val_dataloader=dataset('data'),
                val_evaluator=[metric, other],
            )
        )
        launch.set_data_root(cfg, str(tmp_path))
        first, second = cfg.val_evaluator
        assert first.ann_file == str(tmp_path / file)
        assert first.seg_prefix == str(tmp_path / 'seg')
        assert second.ann_file is None
        assert second.outfile_prefix == str(tmp_path / 'coco_out' / 'x')

    @pytest.mark.parametrize('before', ['', '.'])
    def test_nothing_is_below_no_folder(self, before, tmp_path):
        metric = dict(type='Accuracy', topk=(1, 5))
        dataset = dict(type='CustomDataset', data_root=before)
        cfg = Config(dict(val_dataloader=dict(dataset=dataset), val_evaluator=dict(metric)))
        launch.set_data_root(cfg, str(tmp_path))
        assert cfg.val_evaluator == metric
        assert cfg.val_dataloader.dataset.data_root == str(tmp_path)

    def test_a_warm_up_that_never_ends(self):
        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        launch.check_schedules(cfg)
        cfg.train_cfg.max_iters = 10
        with pytest.raises(
            ValueError, match=r'0, LinearLR, is for iter 0 to 20, but .* 10'
        ):
            launch.check_schedules(cfg)

    @pytest.mark.parametrize(
        'name',
        [
            'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
            'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py',
            'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
            'retinanet/retinanet_r50_fpn_1x_coco.py',
            'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
            'detr/detr_r50_8xb2-150e_coco.py',
            'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
            'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
            'solov2/solov2_r50_fpn_1x_coco.py',
            'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
        ],
    )
    def test_configs_of_mmdet_are_sound(self, name):
        check_keys(load_config(f'mmdet::{name}'))

    def test_of_a_sound_config_the_operator_is_named_that_is_not_compiled(self):
        if is_compiled():
            pytest.skip('mmcv has its compiled operators here')
        cfg = load_config('mmdet::dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py')
        with pytest.raises(NotImplementedError, match=r"model\.backbone\.dcn\.type='DCN'"):
            check_keys(cfg)

    @pytest.mark.parametrize(
        ('name', 'error', 'text'),
        [
            (
                'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_cocoo.py',
                FileNotFoundError,
                r"did you mean 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco\.py'",
            ),
            ('mmdt::a/b.py', ValueError, "'mmdt', and MMEngine knows no such package"),
        ],
    )
    def test_a_name_that_is_not_there(self, name, error, text):
        with pytest.raises(error, match=text):
            load_config(name)

    def test_no_data(self):
        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        with pytest.raises(FileNotFoundError, match='CocoDataset reads data/coco_mini'):
            launch.check_data_roots(cfg)

    def test_a_config_of_mmdet_itself(self, tmp_path):
        """Is found, its keys are known, and it stops where there is no data."""
        name = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
        with pytest.raises(FileNotFoundError, match='CocoDataset reads data/coco'):
            tool('train', name, '--work-dir', tmp_path)
        with pytest.raises(ValueError, match=r"num_clases: .*did you mean 'num_classes'"):
            tool(
                *('train', name, '--work-dir', tmp_path, '--cfg-options'),
                'model.roi_head.bbox_head.num_clases=3',
            )

    @pytest.mark.slow
    def test_a_config_of_mmdet_begins_with_ours_and_is_doubted(
        self, tiny_coco, resnets, tmp_path
    ):
        """No download of what `--pretrained` replaces; what it freezes is said."""
        _, path = resnets(50)
        cfg = load_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
        launch.set_data_root(cfg, str(tiny_coco))
        launch.set_pretrained(cfg, str(path))
        cfg.work_dir = str(tmp_path)
        runner = Runner.from_cfg(cfg)
        runner.register_hook(Look())
        with pytest.raises(EnoughError):
            runner.train()
        log = next(tmp_path.glob('*/*.log')).read_text()
        assert '318 tensors matched' in log
        assert '33 of 159 parameters are frozen (in bn1, conv1, layer1)' in log
        assert '53 of 53 BatchNorms keep the statistics' in log

    def test_no_bfloat16(self):
        cfg = load_config(name_of('mask_rcnn_r18_fpn'))
        if torch.cuda.is_available():
            launch.use_amp(cfg)
            assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
        else:
            with pytest.raises(ValueError, match='move the corners of boxes'):
                launch.use_amp(cfg)

    def test_without_mmdet(self, monkeypatch):
        monkeypatch.setattr('mmengine.config.config.is_installed', lambda name: False)
        with pytest.raises(
            ModuleNotFoundError, match=r'mmdet, which is not installed; pip .*\[detection\]'
        ):
            load_config(name_of('mask_rcnn_r18_fpn'))
        with pytest.raises(ModuleNotFoundError, match=r'mmpretrain, which is not .*$'):
            load_config('mmpretrain::resnet/resnet50_8xb32_in1k.py')


@pytest.mark.slow
def test_pretraining_and_fine_tuning_from_configs_alone(coco_root, tmp_path):
    """Both halves of docs/detection.md, cut short; and from scratch."""
    tool(
        *('train', 'mmlogo::simsiam_logo_r18_coco_mini.py', '--amp'),
        *('--data-root', coco_root / 'train2017', '--work-dir', tmp_path / 'pre'),
        *('--cfg-options', 'train_cfg.max_epochs=2', 'default_hooks.checkpoint.interval=2'),
    )
    name, root = name_of('mask_rcnn_r18_fpn'), ('--data-root', coco_root)
    short = ('train_cfg.max_iters=16', 'train_cfg.val_interval=16')
    short += ('param_scheduler.0.end=4', 'default_hooks.checkpoint.interval=16')
    # so soon nothing is sure, and nothing has no AP
    short += ('default_hooks.logger.interval=1', 'model.test_cfg.rcnn.score_thr=0.0')
    scratch = 'default_hooks.pretrained=None'
    for kind, more, options in (
        ('fine', ('--pretrained', tmp_path / 'pre' / 'epoch_2.pth'), short),
        ('scratch', (), (*short, scratch)),
    ):
        words = (*root, '--work-dir', tmp_path / kind, *more, '--cfg-options', *options)
        tool('train', name, *words)
        records = scalars(tmp_path / kind)
        losses = [record['loss'] for record in records if 'loss' in record]
        assert len(losses) == 16
        assert np.mean(losses[-4:]) < np.mean(losses[:4])
        assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(records[-1])
    log = next((tmp_path / 'fine').glob('*/*.log')).read_text()
    (said,) = re.findall(r'Pretrained backbone from .*', log)
    assert '120 tensors matched' in said
