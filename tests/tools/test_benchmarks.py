"""Classifiers on pretrained backbones: labelled views, lists of images, frozen trunks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import CHANNELS, ENCODER, ROOT, checkpoint, encoder, scalars, tool, weights
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmlogo.config import load_config
from mmlogo.datasets import InMemoryCIFAR10, InMemoryImages, listed_subset
from mmlogo.datasets.listed import balanced, positions
from mmlogo.registry import MODELS
from mmlogo.views import LabelledPreprocessor, MultiCropPreprocessor

CROP = dict(crop=dict(role='global', size=16, scale=(0.08, 1.0)))
SCALE = dict(mean=(127.0,) * 3, std=(64.0,) * 3)


# --- labelled views ------------------------------------------------------------------


def test_a_labelled_view_is_the_view_with_its_label(photo_images, seeds):
    batch = dict(
        inputs=photo_images[:4], seeds=seeds(4), gt_label=torch.tensor([3, 1, 0, 2])
    )
    plain = MultiCropPreprocessor(views=CROP, **SCALE)
    labelled = LabelledPreprocessor(views=CROP, **SCALE)
    for training in (True, False):
        made = labelled(batch, training)
        views = plain(batch, training)['inputs']
        assert torch.equal(made['inputs'], views[0] if training else views)
        assert [int(sample.gt_label) for sample in made['data_samples']] == [3, 1, 0, 2]
    ready_cut = batch | dict(inputs=[photo_images[:4, :, :16, :16]])
    assert labelled(ready_cut, True)['inputs'].shape == (4, 3, 16, 16)


def test_what_labelled_views_refuse(photo_images, seeds):
    two = dict(crop=dict(CROP['crop'], count=2))
    with pytest.raises(ValueError, match='one view of an image and these are 2'):
        LabelledPreprocessor(views=two, **SCALE)
    with pytest.raises(ValueError, match='mixes no images; leave train_cfg out'):
        LabelledPreprocessor(views=CROP, batch_augments=dict(augments=[]), **SCALE)
    batch = dict(inputs=photo_images[:2], seeds=seeds(2))
    for labels in ({}, dict(gt_label=torch.tensor([0, -1]))):
        with pytest.raises(ValueError, match='these images have none; use a labelled'):
            LabelledPreprocessor(views=CROP, **SCALE)(batch | labels, True)


@pytest.mark.parametrize('frozen_stages', [4, 3, -1])
def test_a_linear_step_leaves_a_frozen_trunk_alone(frozen_stages, photo_images, seeds):
    """Weights and statistics; and the same step moves what is not frozen."""
    init_default_scope('mmlogo')
    cfg = load_config('mmlogo::benchmarks/linear_r18w16_cifar10_5k.py')
    assert cfg.model.backbone.frozen_stages == 4
    cfg.model.backbone.frozen_stages = frozen_stages
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = dict(inputs=photo_images[:8], seeds=seeds(8), gt_label=torch.arange(8))
    model.train_step(batch, wrapper)
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert {'head.fc.weight', 'head.fc.bias'} <= moved
    parts = {name.split('.')[1] for name in moved if name.startswith('backbone.')}
    everything = {'conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4'}
    assert parts == {4: set(), 3: {'layer4'}, -1: everything}[frozen_stages]


# --- lists of images -----------------------------------------------------------------


NAMES = [f'{kind}/{place:03d}.png' for kind in 'abc' for place in range(100)]
LABELS = [position // 100 for position in range(300)]


def test_a_drawn_split_is_balanced_and_depends_on_names_and_seed_alone():
    chosen = balanced(NAMES, LABELS, 0.1, seed=0)
    assert [sum(LABELS[i] == label for i in chosen) for label in range(3)] == [10] * 3
    picked = {NAMES[i] for i in chosen}
    backwards = balanced(NAMES[::-1], LABELS[::-1], 0.1, seed=0)
    assert {NAMES[::-1][i] for i in backwards} == picked
    assert {NAMES[i] for i in balanced(NAMES, LABELS, 0.1, seed=1)} != picked
    assert {NAMES[i] for i in balanced(NAMES, LABELS, 0.01, seed=0)} < picked
    # the same on every machine, and by sha256sum
    assert sorted(picked)[:3] == ['a/001.png', 'a/026.png', 'a/030.png']
    # no class is left out
    assert len(balanced(NAMES, LABELS, 1e-6, seed=0)) == 3
    assert balanced(NAMES, LABELS, 1, seed=0) == list(range(300))


@pytest.mark.parametrize('fraction', [0, -0.1, 1.5, 10, float('nan')])
def test_impossible_fractions(fraction):
    with pytest.raises(ValueError, match=r'must be in \(0, 1\]; 1 per cent is 0\.01'):
        balanced(NAMES, LABELS, fraction, seed=0)


@pytest.fixture
def named(photo_images) -> InMemoryImages:
    names = [f'{"ab"[i // 16]}/{i:02d}.png' for i in range(31)] + ['b/00.png']
    return InMemoryImages(photo_images, torch.arange(32) // 16, ['a', 'b'], names)


def test_a_line_is_a_path_a_name_or_a_position(named):
    assert positions(['b/20.png', 'a/03.png'], named, 'x') == [20, 3]
    assert positions(['20.png', 'a/00.png'], named, 'x') == [20, 0]
    assert positions(['20', '3'], named, 'x') == [20, 3]


@pytest.mark.parametrize(
    ('lines', 'text'),
    [
        (['a/03.png', 'c/99.png'], r"x, image 2: 'c/99\.png' is not among the 32 images"),
        (['3', '32'], r"x, image 2: '32' is not among the 32"),
        (['00.png'], r"'00\.png' is the name of several images; list them with their"),
        (['a/03.png', '03.png'], r"image 2: '03\.png' is listed twice"),
        ([], 'x lists no image'),
    ],
)
def test_a_list_that_does_not_fit(lines, text, named):
    with pytest.raises(ValueError, match=text):
        positions(lines, named, 'x')


@pytest.mark.parametrize(
    'name',
    [
        '../x.png',
        'a/../../x.png',
        'a/..',
        '/etc/x.png',
        '//host/x.png',
        'C:/x.png',
        'a\\03.png',
        '..\\x.png',
        'a/03.png\0.txt',
    ],
)
@pytest.mark.parametrize('labelled', [False, True])
def test_a_list_names_nothing_outside_the_data_root(name, labelled, photo_images):
    """Not even an image that the data set has read there, by its annotations."""
    line = f'7 {name}' if labelled else name
    text = r'x, image 2: .* may be outside the folder of classes; list paths below it'
    for names in (['a/1.png', name], ['a/1.png', 'a/2.png']):
        data = InMemoryImages(photo_images[:2], torch.zeros(2).long(), ['a'], names)
        if name in names or not labelled:
            with pytest.raises(ValueError, match=text):
                positions(['1 a/1.png' if labelled else 'a/1.png', line], data, 'x')
    data.names = ['a/1.png', name]
    short = name.rpartition('/')[2]
    with pytest.raises(ValueError, match=text):
        positions(['1.png', short], data, 'x')


def test_names_with_dots_are_no_way_out(photo_images):
    names = ['a..b/..c.png', 'a/...png']
    data = InMemoryImages(photo_images[:2], torch.zeros(2).long(), ['a'], names)
    assert positions(names, data, 'x') == [0, 1]


def test_a_link_in_the_data_root_is_an_image_of_it(tiny_tree, tmp_path):
    """Where it leads, no list says: the same file by its own path is refused."""
    init_default_scope('mmlogo')
    root, listing = tmp_path / 'data', tmp_path / 'list.txt'
    for name in ('train/cat', 'outside'):
        (root.parent / 'outside' if name == 'outside' else root / name).mkdir(parents=True)
    source = next((tiny_tree / 'train' / 'cat').iterdir())
    (tmp_path / 'outside' / 'x.png').write_bytes(source.read_bytes())
    (root / 'train' / 'cat' / '1.png').write_bytes(source.read_bytes())
    (root / 'train' / 'cat' / '2.png').symlink_to(tmp_path / 'outside' / 'x.png')
    listing.write_text('cat/2.png\n')
    assert listed_subset(cifar(root), str(listing)).names == ['cat/2.png']
    for name in ('../../outside/x.png', str(tmp_path / 'outside' / 'x.png')):
        listing.write_text(f'{name}\n')
        with pytest.raises(ValueError, match='may be outside the folder of classes'):
            listed_subset(cifar(root), str(listing))


def test_annotations_that_lead_out_are_not_listed(tiny_tree, tmp_path):
    """CustomDataset takes names from a file, and joins them to its folder."""
    init_default_scope('mmlogo')
    root, listing = tmp_path / 'data', tmp_path / 'list.txt'
    root.mkdir()
    (root / 'ann.txt').write_text('cat/1.png 0\n../secret.png 0\n/etc/passwd 0\n')
    data = dict(type='CustomDataset', data_root=str(root), ann_file='ann.txt')
    data['classes'] = ['cat']
    for name in ('../secret.png', 'secret.png', '/etc/passwd', 'passwd'):
        listing.write_text(f'cat/1.png\n{name}\n')
        with pytest.raises(ValueError, match='may be outside the folder of classes'):
            listed_subset(data, str(listing))
    listing.write_text('cat/1.png\n')
    assert len(listed_subset(data, str(listing))) == 1


@pytest.mark.parametrize('between', [' ', '\t'])
def test_labels_beside_the_names_are_no_part_of_them(between, named):
    before = [f'797{between}b/20.png', f'3{between}03.png']
    assert positions(before, named, 'x') == [20, 3]
    after = [f'b/20.png{between}797', f'03.png{between}3']
    assert positions(after, named, 'x') == [20, 3]
    # one form for all lines, and what is missing is named, not the first line
    with pytest.raises(ValueError, match=r"x, image 3: '5.+99\.png' is not among"):
        positions([*before, f'5{between}99.png'], named, 'x')
    with pytest.raises(ValueError, match=r"x, image 3: '04\.png' is not among"):
        positions([*before, '04.png'], named, 'x')


def test_names_that_look_like_labels_are_names(photo_images):
    names = ['a/1 x.png', 'a/x.png', 'a/y.png', 'a/x.png 3']
    data = InMemoryImages(photo_images[:4], torch.zeros(4).long(), ['a'], names)
    assert positions(['1 x.png', 'y.png', 'x.png 3'], data, 'x') == [0, 2, 3]
    assert positions(['7 x.png', '7 y.png'], data, 'x') == [1, 2]
    text = r"x, image 2: '1 x\.png' may be any of \['1 x\.png', 'x\.png'\]; list names w"
    with pytest.raises(ValueError, match=text):
        positions(['7 y.png', '1 x.png'], data, 'x')
    # a label before or behind: two images
    both = InMemoryImages(
        photo_images[:2], torch.zeros(2).long(), ['a'], ['a/1 y', 'a/y 2']
    )
    with pytest.raises(ValueError, match=r"'1 y 2' may be any of \['y 2', '1 y'\]"):
        positions(['1 y 2'], both, 'x')


def test_images_of_an_archive_have_positions_only(photo_images):
    archive = InMemoryImages(photo_images, torch.zeros(32).long(), ['a'])
    assert positions(['5'], archive, 'x') == [5]
    with pytest.raises(ValueError, match='was read from an archive; list positions'):
        positions(['a/03.png'], archive, 'x')


def cifar(root: Path) -> dict:
    return dict(type='InMemoryCIFAR10', data_root=str(root), split='train')


def test_the_listed_images_of_a_tree_in_memory(tiny_tree, tmp_path):
    """A tree of four classes; read whole and through a list, the same pixels."""
    init_default_scope('mmlogo')
    listing = tmp_path / 'list.txt'
    listing.write_text('cat/2.png\n\ncamera/1.png\n')
    part = listed_subset(cifar(tiny_tree), str(listing))
    whole = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    assert part.names == ['camera/1.png', 'cat/2.png']  # in the order of the data set
    for place, name in enumerate(part.names):
        index = whole.names.index(name)
        assert torch.equal(part.images[place], whole.images[index])
        assert part.labels[place] == whole.labels[index]
    assert len(whole) == 24  # read once, and not cut
    with pytest.raises(FileNotFoundError, match=r'no list of images .*make_split\.py'):
        listed_subset(cifar(tiny_tree), str(tmp_path / 'none.txt'))


def test_a_published_list_of_imagenet(tiny_tree, tmp_path):
    """File names alone, as SimCLR's 1percent.txt: `n01440764_10026.JPEG`."""
    init_default_scope('mmlogo')
    root = tmp_path / 'imagenet'
    for wnid in ('n01440764', 'n01443537'):
        (root / 'train' / wnid).mkdir(parents=True)
        for number in (10026, 7):
            source = next((tiny_tree / 'train').rglob('*.png'))
            (root / 'train' / wnid / f'{wnid}_{number}.JPEG').write_bytes(
                source.read_bytes()
            )
    listing = tmp_path / '1percent.txt'
    listing.write_text('n01443537_7.JPEG\nn01440764_10026.JPEG\n')
    wnids = ('n01440764', 'n01443537')
    whole = dict(type='ImageNet100', data_root=str(root), wnids=wnids)
    part = listed_subset(whole, str(listing))
    assert [(Path(row['img_path']).name, row['gt_label']) for row in part] == [
        ('n01440764_10026.JPEG', 0),
        ('n01443537_7.JPEG', 1),
    ]
    # with labels and folders, as LEWEL's lists have it
    listing.write_text('1 n01443537/n01443537_7.JPEG\n0 n01440764/n01440764_10026.JPEG\n')
    labelled = listed_subset(whole, str(listing))
    assert [row['img_path'] for row in labelled] == [row['img_path'] for row in part]
    listing.write_text('n01440764_10026.JPEG\nn01440764_404.JPEG\n')
    with pytest.raises(ValueError, match=r"image 2: 'n01440764_404\.JPEG' is not among"):
        listed_subset(whole, str(listing))


def test_make_split_from_trees_files_and_data_sets(tiny_tree, tmp_path, capsys):
    out = tmp_path / 'new' / 'half.txt'
    tool('make_split', tiny_tree / 'train', out, '--fraction', '.5')
    assert '12 of 24 images of 4 classes' in capsys.readouterr().out
    lines = out.read_text().splitlines()
    assert {line.partition('/')[0] for line in lines} == {
        'astronaut',
        'camera',
        'cat',
        'coffee',
    }
    assert len(listed_subset(cifar(tiny_tree), str(out))) == 12
    tool('make_split', tiny_tree / 'train', tmp_path / 'again.txt', '--fraction', '.5')
    assert (tmp_path / 'again.txt').read_text() == out.read_text()

    labels = tmp_path / 'labels.txt'
    labels.write_text(''.join(f'{n} {i}\n' for n, i in zip(NAMES, LABELS, strict=True)))
    tool('make_split', labels, out, '--fraction', '.1')
    chosen = [NAMES[i] for i in balanced(NAMES, LABELS, 0.1, seed=0)]
    assert out.read_text().splitlines() == chosen

    tool('make_split', tiny_tree, out, '--fraction', '.5', '--dataset', 'InMemoryCIFAR10')
    assert all(line.isdecimal() for line in out.read_text().splitlines())
    part = listed_subset(cifar(tiny_tree), str(out))
    assert part.labels.bincount().tolist() == [3, 3, 3, 3]

    with pytest.raises(FileNotFoundError, match=r'did you mean .*/train'):
        tool('make_split', tiny_tree, out, '--fraction', '.5')
    with pytest.raises(FileNotFoundError, match=r'neither a folder .*--dataset'):
        tool('make_split', tiny_tree / 'nowhere', out, '--fraction', '.5')
    labels.write_text('a.png 0\nb.png cat\n')
    with pytest.raises(ValueError, match=r"image 2: 'b\.png cat', but `name label`"):
        tool('make_split', labels, out, '--fraction', '.5')


# --- end to end ----------------------------------------------------------------------


def write_config(folder: Path, name: str, base: str, text: str = '') -> Path:
    path = folder / f'{name}.py'
    path.write_text(
        f"_base_ = 'mmlogo::benchmarks/{base}.py'\n"
        f'model = dict(backbone={ENCODER!r}, head=dict(in_channels={CHANNELS}))\n'
        'global_batch_size = 8\n'
        'train_cfg = dict(max_epochs=2, val_interval=1)\n'
        'default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))\n'
        + text
    )
    return path


@pytest.fixture
def pretrained(tmp_path) -> Path:
    """A bare network of random weights, with statistics no constructor gives."""
    init_default_scope('mmlogo')
    net = MODELS.build(encoder(dict(type='BN')))
    state = {
        n: v if 'num_batches' in n else torch.rand(v.shape) / 4
        for n, v in net.state_dict().items()
    }
    torch.save(state, tmp_path / 'net.pth')
    return tmp_path / 'net.pth'


def trunk_is(state: dict, pretrained: Path) -> bool:
    return all(
        torch.equal(state[f'backbone.{name}'], value)
        for name, value in torch.load(pretrained).items()
    )


def log_of(work_dir: Path) -> str:
    return sorted(work_dir.glob('*/*.log'))[-1].read_text()


@pytest.mark.slow
def test_linear_trains_on_the_given_trunk_resumes_and_tests(
    pretrained, tmp_path, tiny_tree
):
    cfg = write_config(tmp_path, 'linear', 'linear_r18w16_cifar10_5k')
    words = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    tool('train', cfg, *words, '--pretrained', pretrained)
    assert trunk_is(weights(tmp_path / 'w'), pretrained)
    one, two = (weights(tmp_path / 'w', f'epoch_{n}.pth') for n in (1, 2))
    assert not torch.equal(one['head.fc.weight'], two['head.fc.weight'])
    text = f'backbone from {pretrained}, without a prefix: 120 tensors matched'
    assert text in log_of(tmp_path / 'w')
    names = json.loads((tmp_path / 'w' / 'pretrained.json').read_text())
    assert set(names['matched']) == set(torch.load(pretrained))
    assert [names[kind] for kind in ('missing', 'unexpected', 'mismatched')] == [[]] * 3
    records = scalars(tmp_path / 'w')
    accuracy = [r['linear_augmented/top1'] for r in records if 'linear_augmented/top1' in r]
    assert len(accuracy) == 2
    assert all('images_per_s' in r for r in records if 'loss' in r)

    tool('test', cfg, tmp_path / 'w' / 'epoch_2.pth', *words[:2], '--work-dir', tmp_path)
    assert re.search(rf'linear_augmented/top1: {accuracy[1]:.4f}', log_of(tmp_path))

    # resumed, it keeps what it has: here the file is of another network by now
    torch.save({'a': torch.zeros(1)}, pretrained)
    more = (*words, '--cfg-options', 'train_cfg.max_epochs=2', '--resume')
    tool('train', cfg, *more, tmp_path / 'w' / 'epoch_1.pth', '--pretrained', pretrained)
    assert 'pretrained weights are not loaded again' in log_of(tmp_path / 'w')
    resumed = weights(tmp_path / 'w')
    assert all(torch.equal(value, resumed[key]) for key, value in two.items())


@pytest.mark.slow
def test_a_checkpoint_of_the_whole_road(tmp_path, tiny_tree):
    """Pretrained here, probed here, by the commands of the README."""
    from helpers import write_config as write_pretraining

    first = write_pretraining(tmp_path, 'moco', 'moco_r18_cifar10')
    words = ('--data-root', tiny_tree, '--work-dir')
    tool('train', first, *words, tmp_path / 'p')
    cfg = write_config(tmp_path, 'linear', 'linear_r18w16_cifar10_5k')
    found = tmp_path / 'p' / 'epoch_2.pth'
    tool('train', cfg, *words, tmp_path / 'w', '--pretrained', found)
    one, two = weights(tmp_path / 'p'), weights(tmp_path / 'w')
    trunk = [key for key in two if key.startswith('backbone.')]
    assert len(trunk) == 120
    assert all(torch.equal(two[key], one[key]) for key in trunk)
    # a self-supervised run can begin there too: at rate 0 it stays there
    tool(
        'train',
        first,
        *words,
        tmp_path / 'again',
        '--pretrained',
        found,
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.0',
    )
    again = weights(tmp_path / 'again')
    kept = [key for key in trunk if key.endswith('weight')]
    for copy in ('', 'teacher.'):
        assert all(torch.equal(again[copy + key], one[key]) for key in kept)


@pytest.mark.slow
def test_fine_tuning_moves_the_trunk_on_the_listed_images(pretrained, tmp_path, tiny_tree):
    listing = tmp_path / 'half.txt'
    tool('make_split', tiny_tree / 'train', listing, '--fraction', '.5')
    cfg = write_config(
        tmp_path,
        'semisup',
        'semisup_lewel_r18_cifar10_10p',
        f'train_dataloader = dict(dataset=dict(listing={str(listing)!r}))\n',
    )
    words = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    tool('train', cfg, *words, '--pretrained', pretrained)
    log = log_of(tmp_path / 'w')
    assert '12 images' in log
    assert 'lr 0.01, 0.1' in log
    assert not trunk_is(weights(tmp_path / 'w'), pretrained)
    # 12 images in batches of 8: the last, smaller one is not dropped
    assert checkpoint(tmp_path / 'w')['meta']['iter'] == 4


@pytest.mark.slow
@pytest.mark.parametrize('listed', [False, True], ids=['all images', 'listed images'])
def test_images_of_a_tree_through_the_workers(listed, pretrained, tmp_path, tiny_tree):
    """ImageNet's road: crops in the workers, views named by the model, LARS."""
    (tmp_path / 'train').symlink_to(tiny_tree / 'train')
    (tmp_path / 'val').symlink_to(tiny_tree / 'test')
    listing = tmp_path / 'half.txt'
    tool('make_split', tiny_tree / 'train', listing, '--fraction', '.5')
    wnids = sorted(folder.name for folder in (tiny_tree / 'train').iterdir())
    text = f"""
model['backbone'] = dict(_delete_=True, frozen_stages=4, **{encoder(dict(type='BN'))!r})
model['data_preprocessor'] = dict(views=dict(crop=dict(size=16)))
train_dataloader = dict(num_workers=1, dataset=dict(wnids={wnids!r}))
val_dataloader = dict(num_workers=0, dataset=dict(wnids={wnids!r}))
test_dataloader = val_dataloader
"""
    if listed:
        text += f"""
train_dataloader['dataset'] = dict(_delete_=True, type='listed_subset',
    listing={str(listing)!r}, dataset=dict(type='ImageNet100', data_root='.',
        wnids={wnids!r}, pipeline=[dict(type='LoadImage'), dict(type='MultiCrop')]))
"""
    cfg = write_config(tmp_path, 'in100', 'linear_simsiam_r34_in100', text)
    words = ('--data-root', tmp_path, '--work-dir', tmp_path / 'w')
    tool('train', cfg, *words, '--pretrained', pretrained)
    assert f'{12 if listed else 24} images' in log_of(tmp_path / 'w')
    assert trunk_is(weights(tmp_path / 'w'), pretrained)
    one, two = (weights(tmp_path / 'w', f'epoch_{n}.pth') for n in (1, 2))
    assert not torch.equal(one['head.fc.weight'], two['head.fc.weight'])


@pytest.mark.slow
def test_two_processes_probe_the_same_trunk(pretrained, tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'linear', 'linear_r18w16_cifar10_5k')
    environment = {
        **os.environ,
        'PYTHON': sys.executable,
        'OMP_NUM_THREADS': '1',
        'PORT': '29617',
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
    }
    words = ['--data-root', str(tiny_tree), '--pretrained', str(pretrained), '--work-dir']
    done = subprocess.run(
        [
            'bash',
            str(ROOT / 'tools/dist_train.sh'),
            str(cfg),
            '2',
            *words,
            tmp_path / 'two',
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tool('train', cfg, *words, tmp_path / 'one')
    one, two = (weights(tmp_path / name) for name in ('one', 'two'))
    assert trunk_is(two, pretrained)
    for key in ('head.fc.weight', 'head.fc.bias'):
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)
    ends = [
        [
            r['linear_augmented/top1']
            for r in scalars(tmp_path / name)
            if 'linear_augmented/top1' in r
        ]
        for name in ('one', 'two')
    ]
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_what_is_refused(pretrained, tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'linear', 'linear_r18w16_cifar10_5k')
    words = (cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    with pytest.raises(ValueError, match='trains on a pretrained backbone and was given'):
        tool('train', *words)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*that folder has \['net"):
        tool('train', *words, '--pretrained', pretrained.parent / 'no.pth')
    with pytest.raises(ValueError, match='is loaded, and --pretrained was not given'):
        tool('train', *words, '--allow-partial')
    whole = ('--cfg-options', f'load_from={pretrained}')
    with pytest.raises(ValueError, match=r'loads a whole model .* choose one'):
        tool('train', *words, '--pretrained', pretrained, *whole)
    part = {k: v for k, v in torch.load(pretrained).items() if 'layer4' not in k}
    torch.save(part, pretrained)
    with pytest.raises(ValueError, match='fits the backbone in part'):
        tool('train', *words, '--pretrained', pretrained)
    tool('train', *words, '--pretrained', pretrained, '--allow-partial')
    # and the untrained network, where that is what was asked for
    words = (*words[:-1], tmp_path / 'untrained')
    tool('train', *words, '--cfg-options', 'default_hooks.pretrained=None')


def test_labels_are_rows_of_the_batch_not_copies_of_single_numbers(photo_images, seeds):
    """mmpretrain would read 0-dimensional ones with `.item()`, a GPU's wait for each."""
    labels = torch.tensor([3, 1, 2])
    batch = dict(inputs=photo_images[:3], seeds=seeds(3), gt_label=labels)
    samples = LabelledPreprocessor(views=CROP, **SCALE)(batch, True)['data_samples']
    start = labels.untyped_storage().data_ptr()
    assert [s.gt_label.untyped_storage().data_ptr() for s in samples] == [start] * 3
    assert [s.gt_label.tolist() for s in samples] == [[3], [1], [2]]
