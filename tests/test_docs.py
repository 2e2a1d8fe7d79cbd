"""What the pages and the comments of the configs name is there."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
from helpers import ROOT

from mmlogo.config import configs_folder

PAGES = [*ROOT.glob('*.md'), *sorted((ROOT / 'docs').rglob('*.md'))]
CONFIGS = sorted(configs_folder().rglob('*.py'))
SOURCES = [
    path
    for name in ('tools', 'tools/benchmarks', '.dev')
    for path in sorted((ROOT / name).iterdir())
    if path.is_file()
]

# A path of this repository, from its root. `*` stands for several files.
PATH = re.compile(
    r'(?<![\w./:>-])((?:tools|configs|\.dev|docs|tests|requirements|mmlogo)/[\w*./-]*[\w*/])'
)
LINK = re.compile(r'\]\(([^)\s]+)\)')
SHARED_CONFIG = re.compile(r'mmlogo::(?!name\.py)([\w./]+\.py)')  # name.py is any of them
MODULE = re.compile(r'(?<![\w./-])(mmlogo(?:\.[A-Za-z_]\w*)+)')
CODE = re.compile(r'`([^`\n]+)`')
NETWORK = re.compile(r'\w*_r\d\d(?:w16)?(?:_\w+)?')  # every config's name has its network


def missing(page: Path, text: str) -> list[str]:
    """Return what a text names of this repository and the repository does not have."""
    stems = {path.stem for path in CONFIGS}
    gone = [name for name in PATH.findall(text) if not [*ROOT.glob(name)]]
    gone += [
        f'mmlogo::{name}'
        for name in SHARED_CONFIG.findall(text)
        if not (configs_folder() / name).is_file()
    ]
    if page.suffix != '.md':
        return gone
    gone += [
        target
        for target in LINK.findall(text)
        if not re.match(r'https?:|#', target)
        and not (page.parent / target.split('#')[0]).exists()
    ]
    gone += [name for name in MODULE.findall(text) if not found(name)]
    return gone + [
        name
        for name in CODE.findall(text)
        if NETWORK.fullmatch(name)
        and not any(
            stem == name or (name[0] == '_' and stem.endswith(name)) for stem in stems
        )
    ]


def found(name: str) -> bool:
    """Whether a module, or a name in one, is there under a dotted name."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize(
    'path',
    [*PAGES, *CONFIGS, *SOURCES],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_what_a_page_names_is_there(path):
    assert missing(path, path.read_text()) == []


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('run `tools/trains.py`', 'tools/trains.py'),
        ('bash .dev/run_test.sh', '.dev/run_test.sh'),
        ('see configs/benchmark/*.py', 'configs/benchmark/*.py'),
        ('[here](docs/evaluations.md#after)', 'docs/evaluations.md'),
        ('[here](evaluation.md)', 'evaluation.md'),
        ("'mmlogo::detection/mask_rcnn.py'", 'mmlogo::detection/mask_rcnn.py'),
        ('`mmlogo.ops` serves them', 'mmlogo.ops'),
        ('`mmlogo.views.Seed`', 'mmlogo.views.Seed'),
        ('`simsiam_logo_r18_cifar11`', 'simsiam_logo_r18_cifar11'),
        ('(`_r50_in2k`)', '_r50_in2k'),
    ],
)
def test_a_wrong_name_is_found(text, name):
    assert name in ' '.join(missing(ROOT / 'README.md', text))


@pytest.mark.parametrize(
    'text',
    [
        'run `tools/train.py`, see configs/benchmarks/*.py and docs/results/',
        '[here](docs/evaluation.md#afterwards), [there](https://arxiv.org/abs/2203.17205)',
        "'mmlogo::simsiam_logo_r18_cifar10.py', `moco_logo_r18_cifar10`, `_r50_in1k`",
        '`mmlogo.evaluation.FeatureMetric`, `python -m mmlogo.doctor`',
        'work_dirs/report/figures, DIR/configs/mine.py',
    ],
)
def test_a_right_name_is_not(text):
    assert missing(ROOT / 'README.md', text) == []
