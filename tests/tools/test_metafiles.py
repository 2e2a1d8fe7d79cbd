"""Metafiles say what docs/results has, and MIM can read them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, read_model_index

spec = importlib.util.spec_from_file_location(
    'results_table', ROOT / '.dev' / 'results_table.py'
)
results_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results_table)

RECORDS = sorted((ROOT / 'docs' / 'results').rglob('*.json'))
METHODS = yaml.safe_load((ROOT / '.dev' / 'methods.yml').read_text())


def run_tool(*words: object, monkeypatch) -> int:
    command = ['results_table.py', 'metafiles', *map(str, words)]
    monkeypatch.setattr(sys, 'argv', command)
    return results_table.main()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of what the metafiles are made of."""
    for name in ('configs', 'docs/results'):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy2(ROOT / 'model-index.yml', tmp_path)
    return tmp_path


def test_our_own_metafiles_say_what_docs_results_has(monkeypatch, capsys):
    assert run_tool('--check', monkeypatch=monkeypatch) == 0, capsys.readouterr().out


def test_the_tool_writes_the_same_bytes_anywhere(root, monkeypatch):
    shutil.rmtree(root / 'configs' / 'metafiles')
    (root / 'model-index.yml').unlink()
    assert run_tool(root, monkeypatch=monkeypatch) == 0
    first = {path: path.read_bytes() for path in results_table.metafiles(root)}
    assert run_tool(root, monkeypatch=monkeypatch) == 0
    for path, content in first.items():
        assert path.read_bytes() == content
        assert (ROOT / path.relative_to(root)).read_bytes() == content


def test_whatever_differs_is_found_and_mended(root, monkeypatch, capsys):
    folder = root / 'configs' / 'metafiles'
    record = root / RECORDS[0].relative_to(ROOT)
    result = json.loads(record.read_text())
    method = results_table.method_of(result, METHODS)

    def found() -> list[str]:
        assert run_tool(root, '--check', monkeypatch=monkeypatch) == 1
        names = re.findall(r'(\S+) differs from docs/results', capsys.readouterr().out)
        run_tool(root, monkeypatch=monkeypatch)
        assert run_tool(root, '--check', monkeypatch=monkeypatch) == 0
        return names

    own = f'configs/metafiles/{method}.yml'
    record.write_text(json.dumps(result | dict(seed=12345)))
    assert found() == [own]
    text = (root / own).read_text()
    assert 'Seed: 12345\n' in text
    (root / own).write_text(text.replace('12345', '54321'))
    assert found() == [own]
    (root / own).unlink()
    assert found() == [own]
    (folder / 'old.yml').write_text('')
    assert found() == ['configs/metafiles/old.yml']
    assert not (folder / 'old.yml').exists()
    (root / 'model-index.yml').write_text('Import: []\n')
    assert found() == ['model-index.yml']


def test_every_record_is_in_one_metafile_and_every_config_is_there():
    models = [
        model
        for path in (ROOT / 'configs' / 'metafiles').iterdir()
        for model in yaml.safe_load(path.read_text())['Models']
    ]
    records = Counter(model['Metadata']['Record'] for model in models)
    assert records == Counter(path.relative_to(ROOT).as_posix() for path in RECORDS)
    assert max(Counter(model['Name'] for model in models).values()) == 1
    for model in models:
        assert (ROOT / model['Config']).is_file(), model['Name']


def test_the_parser_of_mim_reads_what_was_measured():
    index = read_model_index(ROOT)
    assert len(index.models) == len(RECORDS)
    for model in index.models:
        metadata = model.metadata.data
        record = json.loads((ROOT / metadata['Record']).read_text())
        for name in ('epochs', 'seed', 'hardware', 'protocol', 'command', 'title'):
            assert metadata[name.title()] == record[name]
        assert metadata['Commit'].split(', ') == record['commit']
        assert abs(metadata['CPU Minutes'] * 60 - record['cpu_seconds']) < 3.1  # tenths
        assert model.config == f'configs/{record["config"]}'
        assert model.full_model.paper['URL'].startswith('https://arxiv.org/abs/')
        run, *attached = model.results.data  # iter() of a ResultList begins anew
        assert run.metrics == record['evaluations'][str(record['epochs'])]
        assert len(attached) == len(record.get('probes', {}))
        for result in attached:
            for name, value in result.metrics.items():
                kind, _, scalar = name.partition('/')
                assert value == record['probes'][kind][scalar]
        # MIM tells metrics apart by data set and name
        names = [(x.dataset, name) for x in (run, *attached) for name in x.metrics]
        assert len(names) == len(set(names))


def test_a_commit_is_no_number():
    """YAML 1.2 reads 17377e5 as one, where it is not quoted."""
    text = results_table.dump({'Commit': '17377e5', 'Seed': 0, 'Loss': 1.5})
    assert text.splitlines()[1:] == ["Commit: '17377e5'", 'Seed: 0', 'Loss: 1.5']
    assert results_table.dump({'Commit': 'b3b1a3b'}).endswith('Commit: b3b1a3b\n')


def test_the_papers_are_those_that_our_pages_and_configs_cite():
    readme = (ROOT / 'README.md').read_text()
    cited = readme + ''.join(path.read_text() for path in (ROOT / 'configs').rglob('*.py'))
    for method in METHODS.values():
        assert f'\n| {method["Name"]} |' in readme
        assert method['Paper']['URL'].removeprefix('https://arxiv.org/abs/') in cited
    assert f'{{{METHODS["moco_logo"]["Paper"]["Title"]}}}' in readme


@pytest.mark.parametrize(
    ('config', 'told'),
    [
        ('dino_r18.py', r'the names of .* begin with one of .* to \.dev/methods\.yml'),
        ('moco_r99.py', 'configs has no such file; restore it, or write its new name'),
    ],
)
def test_a_record_that_has_no_place(config, told, root):
    record = root / RECORDS[0].relative_to(ROOT)
    record.write_text(json.dumps(json.loads(record.read_text()) | dict(config=config)))
    (root / 'configs' / 'dino_r18.py').write_text('')
    with pytest.raises(
        (ValueError, FileNotFoundError), match=f'is of {config}, and {told}'
    ):
        results_table.metafiles(root)
