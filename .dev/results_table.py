"""Tables of results from what runs logged.

    .dev/results_table.py add WORK_DIR [--name NAME] FOLDER   a run to FOLDER/NAME.json
    .dev/results_table.py attach WORK_DIR RESULT --as KIND    what a checkpoint is worth
    .dev/results_table.py write FILE [FILE ...]               tables in Markdown files
    .dev/results_table.py check FILE [FILE ...]               fail if they differ
    .dev/results_table.py draw PICTURE RESULT [RESULT ...]    curves of several
    .dev/results_table.py metafiles [--check]                 docs/results for MIM

A file has a table between `<!-- results FOLDER NAME ... -->` and `<!-- end -->`; the names
are its rows, the folder is relative to the file. Nothing in between is written by hand.
`losses` instead of `results` is what training logged, mean over the last epoch; `probes` is
what was attached: `test` from tools/test.py, `linear`, `semisup_1p` and `semisup_10p` from
runs of configs/benchmarks.

`metafiles` writes model-index.yml and configs/metafiles. Each record of docs/results is a
model there, under the record's name; each method of .dev/methods.yml is a collection.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from statistics import mean, median

import yaml
from mmengine.config import Config

from mmlogo.config import load_config, read_config
from mmlogo.runs import config_file, joined, read_rows

BLOCK = re.compile(
    r'<!-- (?P<kind>results|losses|probes) (?P<what>[^>]*?) -->\n'
    r'(?P<table>.*?)<!-- end -->',
    re.DOTALL,
)
KNN = {k: f'knn/top1_k{k}' for k in (1, 20, 200)}  # KNNMetric's defaults
PROBES = {  # heading: where it was attached, and its name there
    **{f'k-NN {k}': ('test', scalar) for k, scalar in KNN.items()},
    'online linear': ('test', 'online/top1'),
    'top-5': ('test', 'online/top5'),
    'cached linear': ('test', 'linear_cached/top1'),
    'its top-5': ('test', 'linear_cached/top5'),
    'augmented linear': ('linear', 'linear_augmented/top1'),
    'and top-5': ('linear', 'linear_augmented/top5'),
    '1 % labels': ('semisup_1p', 'accuracy/top1'),
    '10 % labels': ('semisup_10p', 'accuracy/top1'),
    'patch k-NN': ('test', 'patch_knn/top1_k20'),
    'retrieval@1': ('test', 'retrieval/top1'),
    'RankMe': ('test', 'spectrum_backbone/rank_me'),
    'alpha-ReQ': ('test', 'spectrum_backbone/alpha_req'),
}
KINDS = {  # what may be attached, and how a table's header begins to speak of it
    'test': '',
    'linear': 'Augmented linear: ',
    'semisup_1p': '1 % labels: ',
    'semisup_10p': '10 % labels: ',
}
CONFIGS = {  # names of the configs whose runs those are; a test is of the run's own
    'linear': 'linear_*.py',
    'semisup_1p': 'semisup_*_1p.py',
    'semisup_10p': 'semisup_*_10p.py',
}
TASKS = {  # of what may be attached, in a metafile
    'test': 'Frozen Features',
    'linear': 'Linear Classification',
    'semisup_1p': 'Semi-Supervised Classification',
    'semisup_10p': 'Semi-Supervised Classification',
}
DIAGNOSTICS = ('loss', 'auc_', 'cos_', 'push')

ROOT = Path(__file__).resolve().parents[1]
METHODS = ROOT / '.dev' / 'methods.yml'


def collect(work_dir: Path) -> dict:
    """Everything a table may say of a run that reached its end.

    Raises:
        FileNotFoundError: If the work dir has no logs.
        ValueError: If the run did not reach its end.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    notes = work_dir / 'runs.jsonl'
    if not logs or not notes.is_file():
        raise FileNotFoundError(
            f'{work_dir} has no runs.jsonl or no */vis_data/scalars.json; give the work '
            'dir of a run with default_hooks.provenance and LocalVisBackend'
        )
    runs = read_rows(notes)
    starts = [run for run in runs if run['event'] == 'start']
    ends = [run for run in runs if run['event'] in ('end', 'interrupted')]
    config = config_file(work_dir, starts[-1]['command'])
    if config is None:
        raise FileNotFoundError(
            f'{work_dir} has no config (*.py); give the work dir as the run left it'
        )
    cfg = read_config(config)
    records = joined([read_rows(log) for log in logs])
    steps = [record for record in records if 'lr' in record and 'epoch' in record]
    evaluations = {
        record['step']: {
            key: round(value, 2) for key, value in record.items() if '/top' in key
        }
        for record in records
        # a record with an epoch is of training, and its step an iteration
        if 'epoch' not in record and any('/top' in key for key in record)
    }
    epochs = cfg.train_cfg.max_epochs
    if runs[-1]['event'] == 'interrupted' or not ends or epochs not in evaluations:
        raise ValueError(
            f'{work_dir} stopped before epoch {epochs}; resume it, a table shows runs '
            'that reached their end'
        )
    last = [record for record in steps if record['epoch'] == epochs]
    return dict(
        config=cfg.filename and Path(cfg.filename).name,
        protocol=protocol_of(cfg),
        command=anywhere(starts[0]['command']),
        commit=sorted({start['commit'] for start in starts}, key=str),
        seed=starts[0]['seed'],
        hardware=starts[0]['hardware'],
        epochs=epochs,
        batch=cfg.get('global_batch_size'),
        seconds=round(sum(end['seconds'] for end in ends)),
        cpu_seconds=round(sum(end['cpu_seconds'] for end in ends)),
        images_per_s=round(median(record['images_per_s'] for record in steps), 1),
        memory_mb=round(max(record['memory_mb'] for record in steps)),
        evaluations=evaluations,
        final={
            key: float(f'{mean(record[key] for record in last if key in record):.5g}')
            for key in last[-1]
            if key.startswith(DIAGNOSTICS)
        },
    )


def anywhere(command: str) -> str:
    """A command without what is of one machine: folders, and where it was resumed.

    Of a checkpoint's path the run's folder stays: it says whose it is.
    """
    command = re.sub(r' --(work-dir[ =]\S+|resume( (?!--)\S+)?)', '', command)
    command = re.sub(r'(?<=[ =])[^\s=]*/([^\s/]+/[^\s/]+\.pth)', r'\1', command)
    return re.sub(r'(--data-root)[ =]\S+', r'\1 DIR', command)


def as_list(value: dict | list | None) -> list:
    return value if isinstance(value, list) else [value] if value else []


def samples(dataset: dict) -> str:
    """What a loader's data set is, in words."""
    if 'dataset' in dataset:  # a part of another
        return f'{samples(dataset["dataset"])}, {Path(dataset["listing"]).name}'
    share = f', first {dataset["per_class"]} a class' if 'per_class' in dataset else ''
    return f'{dataset["type"]} {dataset.get("split", "")}{share}'


def protocol_of(cfg: Config, stage: str = 'val') -> str:
    """How the k-NN of a config is scored in a stage, 'val' or 'test', in words.

    What is set of the metrics beside it is said, too: tables compare them as well.
    """
    metrics = as_list(cfg.get(f'{stage}_evaluator'))
    knn = [m for m in metrics if m['type'] == 'KNNMetric']
    if not knn:
        raise ValueError(
            f'{cfg.filename} has no KNNMetric, and tables compare k-NN; add it to '
            f'{stage}_evaluator, or read the log'
        )
    words = [
        f'k-NN of the {knn[0].get("features", "backbone")}, '
        f'{knn[0].get("weighting", "exp")} weights, T {knn[0].get("temperature", 0.07):g}',
        f'bank: {samples(cfg.bank_dataloader.dataset)}',
        f'queries: {samples(cfg[f"{stage}_dataloader"].dataset)}',
    ]
    words += [
        f'{m["type"]} with {name} {value}'
        for m in metrics
        if m['type'] != 'KNNMetric'
        for name, value in m.items()
        if name not in ('type', 'features', 'prefix')  # they are in the scalars' names
    ]
    return '; '.join(words)


def training_of(cfg: Config) -> str:
    """What a classifier was trained and scored on, in words."""
    return (
        f'{Path(cfg.filename).name}, {cfg.train_cfg.max_epochs} epochs on '
        f'{samples(cfg.train_dataloader.dataset)}; '
        f'queries: {samples(cfg.val_dataloader.dataset)}'
    )


def config_of(work_dir: Path, command: str) -> Config:
    """The config in a work dir that a command names.

    Raises:
        FileNotFoundError: If there is none.
    """
    names = [re.split('[/:]', word)[-1] for word in shlex.split(command)]
    for path in work_dir.glob('*.py'):
        if path.name in names:
            return read_config(path)
    raise FileNotFoundError(
        f'{work_dir} has no config that its command names ({command}); give the work '
        'dir as the run left it'
    )


def probe(work_dir: Path, kind: str, result: dict) -> dict:
    """What tools/test.py found ('test'), or a classifier's training at its end.

    Args:
        work_dir: Of the test or the training.
        kind: One of `KINDS`.
        result: The run it is attached to, as `collect` has it, with a title.

    Raises:
        FileNotFoundError: If the work dir has no such run.
        ValueError: If it ran a config of another kind or of another method, began
            without a checkpoint, or did not reach its end.
    """
    event = 'test' if kind == 'test' else 'start'
    scalars = {name for where, name in PROBES.values() if where in CONFIGS}
    notes = work_dir / 'runs.jsonl'
    runs = read_rows(notes) if notes.is_file() else []
    begun = [run for run in runs if run['event'] == event]
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    records = joined([read_rows(log) for log in logs])
    found = [x for x in records if scalars & x.keys() and 'epoch' not in x]
    if kind == 'test':  # its log of scalars is one JSON object
        found = [
            json.loads(path.read_text())
            for path in sorted(work_dir.glob('*/[0-9]*_[0-9]*.json'))
        ]
    if not begun or not found:
        raise FileNotFoundError(
            f'{work_dir} has no {event} in runs.jsonl, or logged no result of it; give '
            'the work dir of tools/test.py for `test`, else of a run of '
            'configs/benchmarks'
        )
    first = [run for run in begun if not run.get('epoch')][-1]  # the others resumed it
    cfg = config_of(work_dir, first['command'])
    name = Path(cfg.filename).name
    right = result['config'] if kind == 'test' else CONFIGS[kind]
    if not fnmatch(name, right):
        raise ValueError(
            f'{work_dir} ran {name}, and {kind} of {result["title"]!r} is of {right}; '
            'give the work dir of such a run, or say --as what it is'
        )
    checkpoint = cfg.get('load_from') if kind == 'test' else _pretrained(first['command'])
    if not checkpoint:
        raise ValueError(
            f'{work_dir} began with random weights, and a table says what a checkpoint '
            'is worth; train with --pretrained CKPT'
        )
    if kind != 'test' and runs[-1]['event'] != 'end':
        raise ValueError(f'{work_dir} stopped before its end; resume it')
    return dict(
        protocol=protocol_of(cfg, 'test') if kind == 'test' else training_of(cfg),
        command=anywhere(first['command']),
        commit=begun[-1]['commit'],
        seed=first['seed'],
        checkpoint=Path(*Path(checkpoint).parts[-2:]).as_posix(),
        **{name: round(v, 4) for name, v in found[-1].items() if '/' in name},
    )


def _pretrained(command: str) -> str | None:
    match = re.search(r' --pretrained[ =](\S+)', command)
    return match and match[1]


def load(folder: Path, names: list[str]) -> list[dict]:
    """The results `names` of a folder.

    Raises:
        FileNotFoundError: Naming the first that is not there.
    """
    for name in names:
        if not (folder / f'{name}.json').is_file():
            raise FileNotFoundError(
                f'a table names {name!r} and {folder} has no {name}.json; add it with '
                f'.dev/results_table.py add WORK_DIR {folder} --name {name} --title ...'
            )
    return [json.loads((folder / f'{name}.json').read_text()) for name in names]


def only(protocols: list[str], names: list[str]) -> str:
    """The protocol of every row.

    Raises:
        ValueError: If they have several.
    """
    found = set(protocols)
    if len(found) > 1:
        raise ValueError(
            f'a table of {names} would compare {len(found)} protocols: {sorted(found)}; '
            'give each a table of its own'
        )
    return protocols[0]


def table(folder: Path, names: list[str]) -> str:
    """Markdown of the results `names` in `folder`: k-NN at the end, and at its best.

    Raises:
        ValueError: If the rows were not scored alike, or not with KNNMetric's defaults.
    """
    results = load(folder, names)
    protocol = only([result['protocol'] for result in results], names)
    for name, result in zip(names, results, strict=True):
        logged = set.intersection(*map(set, result['evaluations'].values()))
        if not logged.issuperset(KNN.values()):
            raise ValueError(
                f'{name} logged {sorted(logged)}, and the columns of a table of results '
                f'are {list(KNN.values())}; leave it out, or run it with these in '
                "val_evaluator: dict(type='KNNMetric')"
            )
    rows = [f'{protocol}. Top-1 at the last epoch, per cent.', '']
    rows.append(
        '| method | epochs | k = 1 | k = 20 | k = 200 | best k = 20 | seed | '
        'CPU min | MB | commit |'
    )
    rows.append('|---|---|---|---|---|---|---|---|---|---|')
    for result in results:
        evaluations = {int(epoch): value for epoch, value in result['evaluations'].items()}
        last = evaluations[result['epochs']]
        best = max(evaluations, key=lambda epoch: evaluations[epoch][KNN[20]])
        cells = [
            result['title'],
            result['epochs'],
            *(f'{last[scalar]:.1f}' for scalar in KNN.values()),
            f'{evaluations[best][KNN[20]]:.1f} (epoch {best})',
            result['seed'],
            f'{result["cpu_seconds"] / 60:.0f}',
            result['memory_mb'],
            ', '.join(map(str, result['commit'])),
        ]
        rows.append('| ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(rows) + '\n'


def losses(folder: Path, names: list[str]) -> str:
    """Markdown of what training logged last, a column for each scalar of any of them."""
    results = load(folder, names)
    keys = list(dict.fromkeys(key for result in results for key in result['final']))
    rows = ['| method | epochs | ' + ' | '.join(f'`{key}`' for key in keys) + ' |']
    rows.append('|---' * (2 + len(keys)) + '|')
    for result in results:
        values = (
            f'{result["final"][key]:.3g}' if key in result['final'] else '' for key in keys
        )
        cells = [result['title'], str(result['epochs']), *values]
        rows.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(rows) + '\n'


def probes(folder: Path, names: list[str]) -> str:
    """Markdown of what was attached to the results, a column for each that any has.

    Raises:
        ValueError: If the rows were not trained and scored alike.
    """
    results = load(folder, names)
    attached = [result.get('probes', {}) for result in results]
    columns = {
        heading: [found.get(where, {}).get(key) for found in attached]
        for heading, (where, key) in PROBES.items()
    }
    empty = [None] * len(results)
    columns = {name: values for name, values in columns.items() if values != empty}
    header = []
    for kind, heading in KINDS.items():
        having = [result for result in results if kind in result.get('probes', {})]
        if having:
            protocol = only([_protocol(result, kind) for result in having], names)
            header.append(f'{heading}{protocol}.')
    rows = [' '.join([*header, 'Accuracies in per cent.']), '']
    rows.append('| method | epochs | ' + ' | '.join(columns) + ' | seed | commit |')
    rows.append('|---' * (4 + len(columns)) + '|')
    for place, result in enumerate(results):
        values = (column[place] for column in columns.values())
        cells = ['' if value is None else _short(value) for value in values]
        found = [attached[place][kind] for kind in KINDS if kind in attached[place]]
        # of the run itself, and of a probe where it is another
        seeds = [result['seed'], *(probe['seed'] for probe in found if 'seed' in probe)]
        for several in (seeds, [probe['commit'] for probe in found]):
            cells.append(', '.join(map(str, dict.fromkeys(several))))
        cells = [result['title'], str(result['epochs']), *cells]
        rows.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(rows) + '\n'


def _protocol(result: dict, kind: str) -> str:
    probe = result['probes'][kind]
    if kind == 'test':  # an old record has none; it is of the run's own config
        return probe.get('protocol', result['protocol'])
    if 'protocol' not in probe:
        raise ValueError(
            f'{kind} of {result["title"]!r} does not say what it was trained on, and a '
            f'table compares only what is known to be alike; attach it --as {kind} again'
        )
    return probe['protocol']


def _short(value: float) -> str:
    return f'{value:.1f}' if value >= 10 else f'{value:.2f}'


TABLES = dict(probes=probes, results=table, losses=losses)


def blocks(path: Path, text: str) -> Iterator[tuple[re.Match, str]]:
    """Every table of a file, and what it should be."""
    for match in BLOCK.finditer(text):
        folder, *names = match['what'].split()
        yield match, TABLES[match['kind']](path.parent / folder, names)


def rewritten(path: Path) -> str:
    text = path.read_text()
    for match, right in reversed(list(blocks(path, text))):
        text = text[: match.start('table')] + right + text[match.end('table') :]
    return text


class _Dumper(yaml.SafeDumper):
    """YAML whose strings no reader takes for numbers."""


# YAML 1.2 reads the commit 17377e5 as a float. PyYAML does not, and would not quote it.
_Dumper.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+[eE][-+]?\d+$'), list('-+0123456789')
)


def dump(content: dict) -> str:
    text = yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=float('inf'),  # a command stays on one line
    )
    return f'# Written by .dev/results_table.py metafiles. Do not edit.\n{text}'


def metafiles(root: Path) -> dict[Path, str]:
    """What model-index.yml and every file in configs/metafiles should be.

    Args:
        root: A folder with docs/results and configs, as the repository has them.

    Raises:
        FileNotFoundError: If the config of a record is not there.
        ValueError: If a record's method is not in .dev/methods.yml, or if it does not say
            how something attached to it was scored.
    """
    methods = yaml.safe_load(METHODS.read_text())
    rows: dict[str, list[tuple[dict, Config]]] = {}
    for path in sorted((root / 'docs' / 'results').rglob('*.json')):
        record = path.relative_to(root).as_posix()
        result = json.loads(path.read_text()) | dict(record=record)
        config = root / 'configs' / result['config']
        if not config.is_file():
            raise FileNotFoundError(
                f'{record} is of {config.name}, and configs has no such file; restore it, '
                "or write its new name in the record's `config`"
            )
        method = method_of(result, methods)
        rows.setdefault(method, []).append((result, load_config(str(config))))
    folder = Path('configs') / 'metafiles'
    files = {f'{folder / method}.yml': rows[method] for method in methods if method in rows}
    return {root / 'model-index.yml': dump({'Import': list(files)})} | {
        root / name: dump(metafile(methods[Path(name).stem], found))
        for name, found in files.items()
    }


def method_of(result: dict, methods: dict[str, dict]) -> str:
    """The method with the longest name that the config's name begins with.

    Raises:
        ValueError: If there is none.
    """
    found = [name for name in methods if result['config'].startswith(f'{name}_')]
    if not found:
        raise ValueError(
            f'{result["record"]} is of {result["config"]}, and the names of configs begin '
            f'with one of {list(methods)}; add its method and paper to .dev/methods.yml'
        )
    return max(found, key=len)


def metafile(method: dict, rows: list[tuple[dict, Config]]) -> dict:
    """A method as a collection, and its records as models."""
    techniques: list[str] = []
    networks: list[str] = []
    for _, cfg in rows:
        optimizer = cfg.optim_wrapper.optimizer
        settings = [name for name in ('momentum', 'weight_decay') if optimizer.get(name)]
        techniques += [optimizer.type, *(name.replace('_', ' ') for name in settings)]
        networks += [cfg.model.backbone.type, cfg.model.type]
    metadata = {
        'Training Techniques': list(dict.fromkeys(techniques)),
        'Architecture': list(dict.fromkeys(networks)),
    }
    collection = dict(Name=method['Name'], Metadata=metadata, Paper=method['Paper'])
    models = [model(result, cfg, method['Name']) for result, cfg in rows]
    return dict(Collections=[collection], Models=models)


def model(result: dict, cfg: Config, collection: str) -> dict:
    """A record in the words of a metafile. It has no `Weights`: none are published."""
    record = Path(result['record'])
    metadata = {
        'Title': result['title'],
        'Training Data': samples(cfg.train_dataloader.dataset),
        'Epochs': result['epochs'],
        'Batch Size': result['batch'],
        'Seed': result['seed'],
        'Commit': ', '.join(map(str, result['commit'])),
        'Hardware': result['hardware'],
        'CPU Minutes': round(result['cpu_seconds'] / 60, 1),
        'Command': result['command'],
        'Protocol': result['protocol'],
        'Record': result['record'],
    }
    return {
        'Name': f'{record.parent.name}/{record.stem}',
        'In Collection': collection,
        'Config': f'configs/{result["config"]}',
        'Metadata': {name: value for name, value in metadata.items() if value is not None},
        'Results': list(scores(result)),
    }


def scores(result: dict) -> Iterator[dict]:
    """The k-NN of a run at its end, and what was attached.

    MIM tells metrics apart by their data set and name alone, so `semisup_1p/accuracy/top1`
    and `semisup_10p/accuracy/top1` say what they are of.
    """
    yield {
        'Task': 'k-NN Classification',
        'Dataset': queries(result['protocol']),
        'Metrics': result['evaluations'][str(result['epochs'])],
    }
    for kind in KINDS:
        probe = result.get('probes', {}).get(kind)
        if probe:
            protocol = _protocol(result, kind)
            names = [name for where, name in PROBES.values() if where == kind]
            fields = ('commit', 'seed', 'command')
            yield {
                'Task': TASKS[kind],
                'Dataset': queries(protocol),
                'Metrics': {f'{kind}/{x}': probe[x] for x in names if x in probe},
                'Protocol': protocol,
                **{name.title(): probe[name] for name in fields if name in probe},
            }


def queries(protocol: str) -> str:
    """The data set that a protocol scores."""
    return re.search(r'queries: ([^;]+)', protocol)[1]


def update(root: Path, check: bool) -> int:
    """Write the metafiles of a folder, or count those that are not what they should be."""
    right = metafiles(root)
    there = {*right, *(root / 'configs' / 'metafiles').glob('*')}
    wrong = [
        path
        for path in sorted(there)
        if not path.is_file() or path.read_text() != right.get(path)
    ]
    for path in wrong:
        if check:
            print(
                f'{path.relative_to(root)} differs from docs/results; run '
                '.dev/results_table.py metafiles'
            )
        elif path in right:
            path.parent.mkdir(exist_ok=True)
            path.write_text(right[path])
        else:
            path.unlink()
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    add = commands.add_parser('add')
    add.add_argument('work_dir', type=Path)
    add.add_argument('folder', type=Path)
    add.add_argument('--name', help="default: the work dir's")
    add.add_argument('--title', required=True, help='of the row')
    attach = commands.add_parser('attach')
    attach.add_argument('work_dir', type=Path)
    attach.add_argument('result', type=Path)
    attach.add_argument('--as', dest='kind', required=True, choices=KINDS)
    for name in ('write', 'check'):
        commands.add_parser(name).add_argument('files', nargs='+', type=Path)
    draw = commands.add_parser('draw')
    draw.add_argument('picture', type=Path)
    draw.add_argument('results', nargs='+', type=Path)
    meta = commands.add_parser('metafiles')
    meta.add_argument('root', nargs='?', type=Path, default=ROOT, help='default: ours')
    meta.add_argument('--check', action='store_true', help='fail if they differ')
    args = parser.parse_args()
    if args.command == 'metafiles':
        return int(update(args.root, args.check) > 0 and args.check)
    if args.command == 'draw':
        from mmlogo.report import draw_comparison  # wants matplotlib

        results = [json.loads(path.read_text()) for path in args.results]
        draw_comparison(results, args.picture)
        return 0
    if args.command == 'add':
        args.folder.mkdir(parents=True, exist_ok=True)
        target = args.folder / f'{args.name or args.work_dir.name}.json'
        # by way of its text, in which epochs are strings
        result = json.loads(json.dumps(dict(title=args.title) | collect(args.work_dir)))
        before = json.loads(target.read_text()) if target.is_file() else {}
        if before.get('evaluations') == result['evaluations']:  # the same weights
            result['probes'] = before.get('probes', {})
        elif before.get('probes'):
            print(
                f'{target.name} is another run now; attach anew what its checkpoint is '
                f'worth: {", ".join(before["probes"])}'
            )
        target.write_text(json.dumps(result, indent=1) + '\n')
        print(target)
        return 0
    if args.command == 'attach':
        result = json.loads(args.result.read_text())
        result['probes'] = result.get('probes', {}) | {
            args.kind: probe(args.work_dir, args.kind, result)
        }
        args.result.write_text(json.dumps(result, indent=1) + '\n')
        return 0
    wrong = 0
    for path in args.files:
        if args.command == 'write':
            path.write_text(rewritten(path))
        elif rewritten(path) != path.read_text():
            wrong += 1
            print(
                f'{path} differs from its results; run .dev/results_table.py write {path}'
            )
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
