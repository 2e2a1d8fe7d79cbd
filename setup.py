"""Package mmlogo, with its configs and tools under `.mim` as OpenMMLab has it."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r"^__version__ = '(.+)'$", (HERE / 'mmlogo' / 'version.py').read_text(), re.MULTILINE
).group(1)


class BuildWithMim(build_py):
    """Copy configs, tools and model-index.yml into the wheel's `mmlogo/.mim`.

    Only into the build folder: a source tree or an editable install reads them
    where they are (mmlogo/config.py).
    """

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        target = Path(self.build_lib) / 'mmlogo' / '.mim'
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
        for name in ('configs', 'tools'):
            shutil.copytree(HERE / name, target / name, dirs_exist_ok=True, ignore=ignore)
        shutil.copy2(HERE / 'model-index.yml', target)


setup(
    name='mmlogo',
    version=VERSION,
    description='LoGo and the self-supervised methods around it, for OpenMMLab',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmlogo', 'mmlogo.*']),
    package_data={'mmlogo.report': ['*.jinja']},
    python_requires='>=3.10,<3.14',
    install_requires=[
        'jaxtyping',
        'numpy',
        'opencv-python',  # mmcv has it, too
        'torch>=2.10',
        'torchvision>=0.25',
        'onedl-mmengine>=0.10.9',
        'onedl-mmcv>=2.3',
        'onedl-mmpretrain>=1.3',
        'pillow',
        'rich',
        'safetensors',
        'tensorboard',
    ],
    extras_require={
        'quickstart': [
            'adjustText',
            'jinja2',
            'matplotlib>=3.10',
            'scikit-image',
            'scikit-learn',
        ],
        'report': ['adjustText', 'jinja2', 'matplotlib>=3.10', 'scikit-learn', 'scipy'],
        'detection': ['onedl-mmdetection>=3.5', 'pycocotools'],
        # What tools/benchmark.py measures beside mmlogo. Its own environment is best:
        # MMLOGO_VENV=DIR bash tools/setup_env.sh peers
        'peers': [
            'albumentations',
            'faiss-cpu',
            'kornia',
            'lightly',
            'scikit-image',
            'scikit-learn',
        ],
        'tests': [
            'adjustText',
            'beartype',
            'codespell',
            'faiss-cpu',
            'import-linter',
            'jinja2',
            'matplotlib>=3.10',
            'modelindex',  # MIM's parser of model-index.yml
            'mypy',
            'pytest',
            'ruff',
            'setuptools',
            'scikit-image',
            'scikit-learn',
            'scipy',
            'timm',
        ],
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
