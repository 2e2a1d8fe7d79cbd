"""Writes one page about one or several runs: what they logged, and what their networks see.

The page has every section. If the data of a section are missing, it says which and why. The
template `report.html.jinja` has the words, and this module finds what they are about.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mmengine.config import Config
from torchvision.transforms.v2.functional import resize

from mmlogo.evaluation.knn import nearest
from mmlogo.launch import set_data_root
from mmlogo.registry import MODELS
from mmlogo.report.album import Album, Picture
from mmlogo.report.charts import (
    TITLES,
    by_range,
    draw_chart,
    lines_of,
    shared_limits,
    title_of,
)
from mmlogo.report.dense import enlarge, overlay, pca_colours, sharpest
from mmlogo.report.embedding import draw_embedding, embed
from mmlogo.report.encoder import (
    Encoder,
    OtherKindError,
    Samples,
    evenly,
    one_of_each,
    read_samples,
)
from mmlogo.report.relations import draw_relations, relations_of
from mmlogo.report.theme import DARK, LIGHT
from mmlogo.report.trust import UntrustedError, enter, import_custom
from mmlogo.report.views import draw_crops, label_of, make_view
from mmlogo.runs import Accuracy, Run
from mmlogo.views import SeededIndex, ViewSpec, pack_seeds, parse_views

NEIGHBOURS = 8
QUERIES = 1000  # images of a map, among which are those whose neighbours are shown
BANK = 10_000  # images that are searched for neighbours
THUMBNAILS = 60  # images that a map may show
BATCH = 64  # images whose cells share their principal components
RECIPE_SAMPLES = 3  # images shown for each way to make views

LOGS = ('runs', 'curves', 'collapse')
NETWORKS = ('neighbours', 'map', 'dense', 'alignment')
IMAGES = ('views', *NETWORKS)

_SPEED = ('images_per_s', 'data_wait', 'views_wait', 'memory_mb')
_AUC = ('auc_affinity', 'auc_cosine')
_UNSHOWN = ('time', 'data_time', 'base_lr', 'eta')


class Network(NamedTuple):
    """The network of a run with the weights of a checkpoint."""

    run: Run
    place: int  # of the run among all, which decides its colour
    checkpoint: str
    encoder: Encoder


@dataclass
class Report:
    """The data that the sections of a page share.

    Args:
        runs: At least one run.
        chosen: Positions of the queries that are shown; default: none, without data.
        bank: The images that are searched for neighbours; default: none.
        networks: The networks that look at the images; default: none.
        gaps: Section -> reason why something is not shown -> names of runs. A reason
            is a sentence, or a key of the template's sentences; default: no gaps.
        trust: Whether to build classes of any module; default: False.
    """

    runs: Sequence[Run]
    album: Album = field(init=False)
    query: Samples = field(init=False)  # set if there are data
    chosen: list[int] = field(default_factory=list)
    bank: Samples | None = None
    networks: list[Network] = field(default_factory=list)
    gaps: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: {section: {} for section in (*LOGS, *IMAGES)}
    )
    trust: bool = False

    def lacks(self, why: str, *sections: str, run: Run | None = None) -> None:
        """Note why these sections do not show something, and of which run."""
        for section in sections:
            names = self.gaps[section].setdefault(why, [])
            names += [] if run is None else [run.name]

    def file(self, position: int, name: str = 'query') -> str:
        """Return the name of a picture of a query."""
        return f'{name}_{self.query.places[position]}'

    def shown(self) -> list[dict[str, Any]]:
        """Return the queries that are shown: class, picture, and an empty list of cells."""
        return [
            dict(
                name=self.query.name(n),
                picture=self.album.pixels(self.file(n), self.query.images[n]),
                cells=[],
            )
            for n in self.chosen
        ]


def write_report(
    runs: Sequence[Run],
    checkpoints: Sequence[Path | None],
    out: Path,
    *,
    samples: int = 6,
    data_root: str | None = None,
    use_model: bool = True,
    trust: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Write the page `out/report.html`, and its pictures to `out/figures`.

    The same runs give the same bytes. What the runs, their data and their checkpoints are
    called is text on the page, and never markup.

    Args:
        runs: At least one run. The place of a run decides its colour.
        checkpoints: One for each run, None if the run has none yet.
        out: The folder. It is made if it does not exist.
        samples: The number of images that each section of pictures shows; default: 6.
        data_root: The folder of the data; default: the one that each config names.
        use_model: If False, the page shows only logs and views; default: True.
        trust: If True, classes of any module are built and `custom_imports` of the configs
            are imported, which runs their code; default: False.
        say: A function that takes lines of progress; default: `print`.

    Returns:
        The path of the page.

    Raises:
        ValueError: If `samples` is below 1, or a checkpoint is of another network.
        OSError: If `data_root` was given and has no data.
    """
    if samples < 1:
        raise ValueError(f'--samples {samples}, but it must be at least 1')
    report = read(runs, checkpoints, samples, data_root, use_model, say, trust=trust)
    report.album = Album(out / 'figures')  # now that nothing the user gave can be wrong
    lacking = () if report.networks else NETWORKS if report.chosen else IMAGES
    page = {}
    for section, gaps in report.gaps.items():
        page[section] = None if section in lacking else SECTIONS[section](report)
        say(f'{section}: ' + ('done' if page[section] or section == 'runs' else 'omitted'))
        for why, names in gaps.items():
            say('  not shown: ' + (f'{", ".join(names)}: {why}' if names else why))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template('report.html.jinja')
    file = out / 'report.html'
    html = template.render(report=report, page=page, light=LIGHT, dark=DARK)
    # A name of a file that is no UTF-8 is shown with its bytes.
    file.write_text(html, encoding='utf-8', errors='backslashreplace')
    return file


def read(
    runs: Sequence[Run],
    checkpoints: Sequence[Path | None],
    samples: int,
    data_root: str | None,
    use_model: bool,
    say: Callable[[str], None],
    *,
    trust: bool = False,
) -> Report:
    """Read the data once, and the network of every run.

    Raises:
        ValueError: If a checkpoint is of another network, or `trust` is set and a module of
            `custom_imports` cannot be imported.
        OSError, ValueError: If `data_root` was given and its data cannot be read.
    """
    report = Report(runs, trust=trust)
    configs: list[Config | None] = []
    for run in report.runs:
        cfg = copy.deepcopy(run.cfg)
        configs.append(cfg)
        if cfg is None:
            report.lacks(run.unread or 'no config (*.py)', *IMAGES, run=run)
            continue
        if trust:
            import_custom(cfg)
        if data_root is not None:
            set_data_root(cfg, data_root)
    first = next((cfg for cfg in configs if cfg is not None), None)
    if first is None:
        return report
    try:
        report.query = read_samples(first, 'val_dataloader', QUERIES, trust)
    except (OSError, ValueError) as error:
        if data_root is not None and not isinstance(error, UntrustedError):
            raise
        report.lacks(f'the data cannot be read ({_one_line(error)})', *IMAGES)
        return report
    say(f'images: {len(report.query.images):,} of {report.query.total:,} queries')
    report.chosen = one_of_each(report.query, samples)
    if not use_model:
        report.lacks('--no-model was given', *NETWORKS)
        return report
    try:
        report.bank = read_samples(first, 'bank_dataloader', BANK, trust)
        say(f'images: {len(report.bank.images):,} of {report.bank.total:,} of the bank')
    except (OSError, ValueError) as error:
        report.lacks(f'no bank to search ({_one_line(error)})', 'neighbours')
    for place, (run, cfg, checkpoint) in enumerate(
        zip(runs, configs, checkpoints, strict=True)
    ):
        if cfg is None:
            continue
        if checkpoint is None:
            report.lacks('no checkpoint yet', *NETWORKS, run=run)
        elif _data_of(cfg) != _data_of(first):
            report.lacks('evaluated on other data', *NETWORKS, run=run)
        else:
            say(f'{run.name}: looking through {checkpoint.name}')
            try:
                encoder = Encoder(cfg, checkpoint, trust)
            except (OtherKindError, UntrustedError) as error:
                report.lacks(str(error), *NETWORKS, run=run)
            else:
                report.networks.append(Network(run, place, checkpoint.name, encoder))
    return report


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())


def _data_of(cfg: Config) -> dict:
    dataset = (cfg.get('val_dataloader') or {}).get('dataset') or {}
    return {key: value for key, value in dataset.items() if key != 'data_root'}


def accuracies_of(report: Report) -> dict[str, str]:
    """Return scalar -> title for every accuracy, in the order of the table's columns."""
    for run in report.runs:
        lacks = {
            'no runs.jsonl': not run.notes,
            run.unread or 'no config (*.py)': run.cfg is None,
            'no k-NN accuracy': all(a.k is None for a in run.accuracies()),
            'no online probe': 'online/top1' not in run.scalars,
        }
        for why in filter(lacks.get, lacks):
            report.lacks(why, 'runs', run=run)
    return {a.scalar: title_of(a.scalar) for a in _accuracies(report.runs)}


def _accuracies(runs: Iterable[Run]) -> list[Accuracy]:
    """Return one accuracy of every scalar, k-NN first, in the order of k."""
    found = {a.scalar: a for run in runs for a in run.accuracies()}
    return sorted(found.values(), key=lambda a: (a.k is None, a.probe, a.top, a.k or 0))


def curves_of(report: Report) -> dict[str, list[dict]]:
    """Draw charts of all logged scalars but those of collapse, and group them."""
    logged = (scalar for run in report.runs for scalar in (*run.scalars, *run.lapses))
    scalars = [scalar for scalar in dict.fromkeys(logged) if not _in_collapse(scalar)]
    groups = {
        'loss': [scalar for scalar in scalars if 'loss' in scalar],
        'lr': [scalar for scalar in scalars if scalar == 'lr'],
        'knn': [a.scalar for a in _accuracies(report.runs) if a.k is not None],
        'probes': [a.scalar for a in _accuracies(report.runs) if a.k is None],
        'calibration': [scalar for scalar in scalars if scalar.startswith('calibration')],
        'speed': [scalar for scalar in _SPEED if scalar in scalars],
    }
    for name, group in groups.items():
        if not group:
            report.lacks(f'no {name}', 'curves')
    _note_lapses(report, 'curves')
    taken = {*_UNSHOWN}.union(*groups.values())
    groups['others'] = [scalar for scalar in scalars if scalar not in taken]
    charts = {}
    for name, group in groups.items():
        steps = name not in ('knn', 'probes', 'calibration')
        charts[name] = _charts(report, group, split=name == 'loss', steps=steps)
    return {name: found for name, found in charts.items() if found}


def collapse_of(report: Report) -> dict[str, list[dict]]:
    """Draw charts of the measures of collapse, grouped by measure, and of the AUCs."""
    measures: dict[str, list[str]] = {}
    scalars = {s for run in report.runs for s in run.scalars if s.startswith('collapse/')}
    for scalar in sorted(scalars, key=_order):
        measures.setdefault(scalar.split('/')[1], []).append(scalar)
    charts = {
        measure: _charts(report, group, shared=True) for measure, group in measures.items()
    }
    level = (0.5, 'chance')
    charts['auc'] = _charts(report, _AUC, shared=True, steps=True, level=level)
    for run in report.runs:
        if not any(s.startswith('collapse/') for s in (*run.scalars, *run.lapses)):
            report.lacks('no collapse/*', 'collapse', run=run)
    _note_lapses(report, 'collapse')
    if not any(
        scalar in run.scalars | run.lapses for run in report.runs for scalar in _AUC
    ):
        report.lacks('no affinity', 'collapse')
    return {measure: found for measure, found in charts.items() if found}


def _order(scalar: str) -> list[tuple[int, str]]:
    """Sort by the order of `TITLES`, and what is not there by name."""
    known = list(TITLES)
    return [([*known, part].index(part), part) for part in scalar.split('/')]


def _in_collapse(scalar: str) -> bool:
    return scalar in _AUC or scalar.startswith('collapse/')


def _note_lapses(report: Report, section: str) -> None:
    """Note the scalars of this section whose values are not finite."""
    for run in report.runs:
        for scalar, lapse in run.lapses.items():
            if _in_collapse(scalar) == (section == 'collapse'):
                report.lacks(f'{scalar} is {lapse}', section, run=run)


def _charts(
    report: Report,
    scalars: Iterable[str],
    *,
    split: bool = False,
    shared: bool = False,
    **options: Any,
) -> list[dict]:
    """Draw a chart of every scalar that has finite values.

    Args:
        report: The runs and the album.
        scalars: The names of the scalars.
        split: Whether runs whose values lie far apart get separate charts; default: False.
        shared: Whether all charts have the same limits; default: False.
        options: Further arguments of `draw_chart`.
    """
    lines = {scalar: lines_of(report.runs, scalar) for scalar in scalars}
    lines = {scalar: found for scalar, found in lines.items() if found}
    options['unit'] = report.runs[0].unit
    if shared and lines:
        level = options.get('level', ())[:1]
        options['limits'] = shared_limits(itertools.chain(*lines.values()), *level)
    charts = []
    for scalar, found in lines.items():
        parts, title = by_range(found) if split else [found], title_of(scalar)
        for number, part in enumerate(parts, 1):
            name = scalar if len(parts) == 1 else f'{scalar}_{number}'
            draw = partial(draw_chart, part, title=title, **options)
            charts.append(
                dict(title=title, lines=part, picture=report.album.drawn(name, draw))
            )
    return charts


def recipes_of(report: Report) -> list[dict[str, Any]]:
    """Find the different ways to make views, draw examples, and draw the pairs."""
    recipes: list[dict[str, Any]] = []
    for run in report.runs:
        if run.cfg is None:
            continue
        model = run.cfg.get('model') or {}
        views = (model.get('data_preprocessor') or {}).get('views')
        if views is None:
            report.lacks('views of no preprocessor', 'views', run=run)
            continue
        specs, head = parse_views(views), model.get('head')
        try:
            enter(run.cfg, head, report.trust)
        except UntrustedError as error:
            report.lacks(str(error), 'views', run=run)
            continue
        relations = relations_of(specs, MODELS.build(head) if head else None)
        same = [r for r in recipes if (r['specs'], r['relations']) == (specs, relations)]
        if same:
            same[0]['runs'].append(run.name)
            continue
        name = f'views{len(recipes) + 1}'
        seed = int(run.cfg.get('randomness', {}).get('seed') or 0)
        recipes.append(
            dict(
                runs=[run.name],
                specs=specs,
                relations=relations,
                seed=seed,
                diagram=report.album.drawn(
                    f'{name}_pairs', partial(draw_relations, specs, relations)
                ),
                rows=[
                    _views_of(report, n, specs, seed, name)
                    for n in report.chosen[:RECIPE_SAMPLES]
                ],
            )
        )
    return recipes


def _views_of(
    report: Report, position: int, specs: Sequence[ViewSpec], seed: int, recipe: str
) -> dict[str, Any]:
    """Draw the crops of a query, and the view that each becomes."""
    image, file = report.query.images[position], report.file(position, recipe)
    seeds = pack_seeds([SeededIndex(report.query.places[position], 0, seed)])[0]
    cells = []
    for place, spec in enumerate(specs):
        view, label = make_view(image, seeds, place, spec), label_of(specs, place)
        picture = report.album.pixels(f'{file}_{label}', view.pixels)
        cells.append(dict(label=label, role=spec.role, view=view, picture=picture))
    crops = report.album.drawn(
        f'{file}_crops', lambda path, theme: draw_crops(image, seeds, specs, path), [LIGHT]
    )
    return dict(name=report.query.name(position), picture=crops, cells=cells)


def neighbours_of(report: Report) -> list[dict[str, Any]]:
    """Find the nearest images of the bank for each query, a row for each network."""
    bank = report.bank
    if bank is None:
        return []
    shown = report.shown()
    for network in report.networks:
        query = network.encoder.features(report.query.images[report.chosen])
        features = network.encoder.features(bank.images)
        found = nearest(query, features, min(NEIGHBOURS, len(bank.images)))
        cosines, places = (torch.cat(part).tolist() for part in zip(*found, strict=True))
        for n, sample in enumerate(shown):
            row = []
            for cosine, place in zip(cosines[n], places[n], strict=True):
                name = bank.name(place)
                picture = report.album.pixels(
                    f'bank_{bank.places[place]}', bank.images[place]
                )
                same = name == sample['name']
                row.append(dict(name=name, same=same, cosine=cosine, picture=picture))
            sample['cells'].append((network, row))
    return shown


def maps_of(report: Report) -> list[tuple[Network, Picture]]:
    """Draw a map of the queries for each network."""
    query, maps = report.query, []
    thumbnails = {
        n: resize(query.images[n], [64, 64], antialias=True)
        for n in evenly(len(query.images), THUMBNAILS)
    }
    for network in report.networks:
        features = network.encoder.features(query.images)
        try:
            points = embed(features)
        except ValueError as error:  # there are too few
            report.lacks(str(error), 'map')
            return []
        draw = partial(
            draw_embedding,
            features,
            query.labels,
            query.classes,
            thumbnails=thumbnails,
            title=f'{network.run.name}, {network.checkpoint}',
            points=points,
            text=1.5,
        )
        maps.append((network, report.album.drawn(f'map_{network.run.name}', draw)))
    return maps


def dense_of(report: Report) -> dict[str, Any]:
    """Show the principal components of dense features as colours."""
    others = [n for n in evenly(len(report.query.images), BATCH) if n not in report.chosen]
    batch = (report.chosen + others)[: max(BATCH, len(report.chosen))]
    shown, facts = report.shown(), []
    for network in report.networks:
        try:
            maps, factor = network.encoder.dense(report.query.images[batch])
            colours, variance = pca_colours(maps)
        except ValueError as error:
            report.lacks(str(error), 'dense', run=network.run)
            continue
        size = colours.shape[1:3]
        facts.append(dict(network=network, size=size, factor=factor, variance=variance))
        pictures = enlarge(colours[: len(shown)])
        for position, sample, pixels in zip(report.chosen, shown, pictures, strict=True):
            file = report.file(position, f'dense_{network.run.name}')
            sample['cells'].append((network, report.album.pixels(file, pixels)))
    return dict(images=len(batch), facts=facts, rows=shown) if facts else {}


def alignment_of(report: Report) -> list[dict[str, Any]]:
    """Show the alignment maps of each network that has them."""
    found = []
    for network in report.networks:
        if not network.encoder.has_maps:
            report.lacks('no alignment maps', 'alignment', run=network.run)
            continue
        maps, factor = network.encoder.alignment(report.query.images[report.chosen])
        shown, which = report.shown(), sharpest(maps)
        for n, (position, sample) in enumerate(zip(report.chosen, shown, strict=True)):
            file = report.file(position, f'alignment_{network.run.name}')
            for group, k in enumerate(which):
                weights = maps[n, group, k]
                pixels = overlay(report.query.images[position], weights)
                picture = report.album.pixels(f'{file}_{group + 1}', pixels)
                peak = float(weights.max()) * weights.numel()
                cell = dict(group=group + 1, map=k + 1, peak=peak, picture=picture)
                sample['cells'].append(cell)
        size = tuple(maps.shape[3:])
        found.append(dict(network=network, size=size, factor=factor, rows=shown))
    return found


SECTIONS: dict[str, Callable[[Report], Any]] = {
    'runs': accuracies_of,
    'curves': curves_of,
    'collapse': collapse_of,
    'views': recipes_of,
    'neighbours': neighbours_of,
    'map': maps_of,
    'dense': dense_of,
    'alignment': alignment_of,
}
