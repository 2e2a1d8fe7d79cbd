"""One page about one or several runs: what they logged and what they see.

Every section is there; where its data are missing it says which and why.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from mmlogo.evaluation.knn import nearest
from mmlogo.launch import set_data_root
from mmlogo.registry import MODELS
from mmlogo.report.album import Album, Picture
from mmlogo.report.charts import (
    CROPS,
    MEASURES,
    Line,
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
from mmlogo.report.relations import Relations, draw_relations, relations_of
from mmlogo.report.theme import DARK, LIGHT
from mmlogo.report.views import draw_crops, label_of, make_view
from mmlogo.runs import Accuracy, Run
from mmlogo.views import SeededIndex, ViewSpec, pack_seeds, parse_views

NEIGHBOURS = 8
QUERIES = 1000  # of a map; among them are those whose neighbours are shown
BANK = 10_000  # searched for neighbours
THUMBNAILS = 60  # on a map, where there is room
BATCH = 64  # images whose cells share their principal components
RECIPE_SAMPLES = 3  # shown of each way to make views
NO_CONFIG = 'no config (*.py) in the work dir'

_COLLAPSE = re.compile(r'collapse/(?P<measure>[^/]+)/(?P<crop>[^/]+)')
_SPEED = ('images_per_s', 'data_wait', 'memory_mb')
_AUC = ('auc_affinity', 'auc_cosine')
_UNSHOWN = ('time', 'data_time', 'base_lr', 'eta')


@dataclass
class Cell:
    """A picture with a line below; `mark` is 'right', 'wrong' or nothing."""

    picture: Picture
    text: str = ''
    mark: str = ''
    place: int | None = None  # of the run whose colour the line has


@dataclass
class Row:
    """Cells of one run, or of one image."""

    label: str
    cells: list[Cell]
    place: int | None = None
    note: str = ''


@dataclass
class Group:
    """A part of a section: charts in a grid, or rows of cells."""

    title: str
    text: str = ''
    charts: list[Picture] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    wide: bool = False  # charts that want half of the page
    phone: int = 4  # cells beside each other on a narrow screen
    caption: str = ''


@dataclass
class Section:
    """A part of the page, and why something of it, or all, is not shown."""

    id: str
    title: str
    lead: str = ''
    groups: list[Group] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)


class Look(NamedTuple):
    """What a run's network makes of the samples."""

    run: Run
    place: int
    checkpoint: str
    query: Tensor  # (Q, D)
    bank: Tensor | None  # (B, D)
    colours: np.ndarray | None  # (BATCH, h, w, 3)
    variance: float  # that the colours hold
    factor: int  # images were enlarged by it for maps
    alignment: Tensor | None  # (N, G, K, h, w) of the samples shown


@dataclass
class Sight:
    """The samples, the runs' looks at them, and what stood in the way."""

    query: Samples | None = None
    bank: Samples | None = None
    chosen: list[int] = field(default_factory=list)  # positions among the queries
    looks: list[Look] = field(default_factory=list)
    no_data: list[str] = field(default_factory=list)
    no_model: list[str] = field(default_factory=list)
    no_bank: list[str] = field(default_factory=list)
    no_map: list[str] = field(default_factory=list)
    no_alignment: list[str] = field(default_factory=list)


def write_report(
    runs: Sequence[Run],
    checkpoints: Sequence[Path | None],
    out: Path,
    *,
    samples: int = 6,
    data_root: str | None = None,
    use_model: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Write `out/report.html`, and its pictures to `out/figures`.

    The same runs give the same bytes.

    Args:
        runs: At least one; a run's colour follows from its place.
        checkpoints: One for each, None where there is none yet.
        out: A folder; made where it is not there.
        samples: Images shown in each section of pictures.
        data_root: Where the data lie; None takes each config's.
        use_model: Whether to look through the networks; without, only at the logs
            and the views.
        say: Told of the progress.

    Returns:
        The page.

    Raises:
        FileNotFoundError, ValueError, OSError: If a checkpoint is of another network,
            or `data_root` was given and has no data.
    """
    if samples < 1:
        raise ValueError(f'--samples {samples}, but it must be at least 1')
    sight = look_at(runs, checkpoints, samples, data_root, use_model, say)
    album = Album(out / 'figures')  # now that nothing the user gave can be wrong
    sections: list[Section] = []
    for section in (
        lambda: runs_section(runs),
        lambda: curves_section(runs, album),
        lambda: collapse_section(runs, album),
        lambda: views_section(runs, sight, album),
        lambda: neighbours_section(sight, album),
        lambda: map_section(sight, album),
        lambda: dense_section(sight, album),
        lambda: alignment_section(sight, album),
    ):
        sections.append(section())
        done = sections[-1]
        say(f'{done.title.lower()}: ' + ('done' if done.groups else 'omitted'))
        done.omitted = merged(done.omitted)
        for reason in done.omitted:
            say(f'  not shown: {reason}')
    page = out / 'report.html'
    page.write_text(render(runs, sections))
    return page


def render(runs: Sequence[Run], sections: Sequence[Section]) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template('report.html.jinja')
    scalars = dict.fromkeys(a.scalar for a in _all_accuracies(runs))
    return template.render(
        title=', '.join(run.name for run in runs),
        runs=runs,
        accuracies={run.name: {a.scalar: a for a in run.accuracies()} for run in runs},
        scalars={scalar: accuracy_title(scalar, runs) for scalar in scalars},
        facts={run.name: run.facts() for run in runs},
        sections=sections,
        light=LIGHT,
        dark=DARK,
    )


def _all_accuracies(runs: Iterable[Run]) -> list[Accuracy]:
    found = [accuracy for run in runs for accuracy in run.accuracies()]
    return sorted(found, key=lambda a: (a.k is None, a.probe, a.top, a.k or 0))


def accuracy_title(scalar: str, runs: Iterable[Run]) -> str:
    """`k-NN, k = 20`, `online probe, top 5`."""
    accuracy = next(a for a in _all_accuracies(runs) if a.scalar == scalar)
    if accuracy.k is None:
        probe = {'online': 'online probe'}.get(accuracy.probe, accuracy.probe)
        return f'{probe.replace("_", " ")}, top {accuracy.top}'
    probe = 'k-NN' if accuracy.probe == 'knn' else accuracy.probe.replace('knn_', 'k-NN ')
    return f'{probe.replace("_", ", ")}, k = {accuracy.k}'


def runs_section(runs: Sequence[Run]) -> Section:
    """The table and the cards are the template's; here is what they lack."""
    section = Section('runs', 'Runs', groups=[Group('')])
    for reason, lacking in (
        (
            'no runs.jsonl (default_hooks.provenance writes it), so command, commit, '
            'seed, hardware and times are not known',
            [run for run in runs if not run.notes],
        ),
        (NO_CONFIG, [run for run in runs if run.cfg is None]),
        (
            'no k-NN accuracy was logged',
            [run for run in runs if all(a.k is None for a in run.accuracies())],
        ),
        (
            'no accuracy of an online probe (online/top1) was logged',
            [run for run in runs if 'online/top1' not in run.scalars],
        ),
    ):
        section.omitted += [f'{run.name}: {reason}' for run in lacking]
    return section


def merged(reasons: Iterable[str]) -> list[str]:
    """`run: reason` of several runs as one line for each reason."""
    names: dict[str, list[str]] = {}
    for reason in reasons:
        name, colon, why = reason.partition(': ')
        names.setdefault(why if colon else reason, []).append(name if colon else '')
    return [f'{", ".join(who)}: {why}' if who[0] else why for why, who in names.items()]


def curves_section(runs: Sequence[Run], album: Album) -> Section:
    """Everything that was logged, over epochs."""
    section = Section(
        'curves',
        'Curves',
        'Each run in its colour, named at its end with its last value. A strong line is '
        'the mean over an epoch, the faint one below it what was logged.',
    )
    logged = (scalar for run in runs for scalar in (*run.scalars, *run.lapses))
    scalars = list(dict.fromkeys(logged))
    rates = [scalar for scalar in scalars if scalar == 'lr']
    losses = [scalar for scalar in scalars if 'loss' in scalar]
    probed = [a.scalar for a in _all_accuracies(runs)]
    probed = list(dict.fromkeys(probed))
    knn = [scalar for scalar in probed if '_k' in scalar.rpartition('/')[2]]
    probes = [scalar for scalar in probed if scalar not in knn]
    speed = [scalar for scalar in _SPEED if scalar in scalars]
    shown = {*rates, *losses, *probed, *speed, *_AUC, *_UNSHOWN}
    rest = [s for s in scalars if s not in shown and not _COLLAPSE.fullmatch(s)]
    unit = runs[0].unit
    for title, keys, text, missing in (
        (
            'Loss terms',
            losses,
            'Losses of different objectives do not compare: where runs lie far apart, '
            'they have charts of their own.',
            'no loss was logged',
        ),
        (
            'Learning rate',
            rates,
            'Of the first group of parameters; runs of one schedule lie on each other.',
            'no learning rate (lr) was logged',
        ),
        (
            'k-NN accuracy, %',
            knn,
            'On frozen features, from the untrained network (epoch 0) on.',
            'no knn/top1_k* was logged',
        ),
        (
            'Other probes, %',
            probes,
            'Online and linear: a linear classifier of the features. Retrieval: a local '
            "crop finds its own image's global one.",
            'no online or other probe (*/top1) was logged',
        ),
        (
            'Speed',
            speed,
            'Of training, on the hardware that a run names above. Waiting for data near 0 '
            'means that the loader keeps up.',
            'no images_per_s, data_wait or memory_mb was logged',
        ),
        (
            'Other scalars of the training step',
            rest,
            'Diagnostics of the objective, which nothing is trained on.',
            '',
        ),
    ):
        if not keys:
            section.omitted += [f'{title}: {missing}'] if missing else []
            continue
        group = Group(title, text)
        for scalar in keys:
            lines = lines_of(runs, scalar)
            if not lines:  # nothing finite
                continue
            parts = by_range(lines) if scalar in losses else [lines]
            for number, part in enumerate(parts, 1):
                name = scalar if len(parts) == 1 else f'{scalar}_{number}'
                heading = (
                    accuracy_title(scalar, runs) if scalar in probed else title_of(scalar)
                )
                group.charts.append(
                    _chart(album, name, heading, part, unit, steps=scalar not in probed)
                )
        section.groups += [group] if group.charts else []
    section.omitted += _lapses(runs, lambda scalar: not _in_collapse(scalar))
    return section


def _in_collapse(scalar: str) -> bool:
    return scalar in _AUC or bool(_COLLAPSE.fullmatch(scalar))


def _lapses(runs: Sequence[Run], of: Callable[[str], bool]) -> list[str]:
    """What of the runs' scalars cannot be drawn, for a section that has those."""
    return [
        f'{run.name}: {scalar} is {lapse}'
        for run in runs
        for scalar, lapse in run.lapses.items()
        if of(scalar)
    ]


def _chart(
    album: Album, name: str, title: str, lines: Sequence[Line], unit: str, **options: Any
) -> Picture:
    ends = '; '.join(
        f'{line.name} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}'
        for line in lines
    )
    return album.drawn(
        name,
        f'Chart of {title} over {unit}s: {ends}.',
        lambda path, theme: draw_chart(
            lines, path, title, theme=theme, unit=unit, **options
        ),
    )


def collapse_section(runs: Sequence[Run], album: Album) -> Section:
    """Measures of collapse by the kind of crop."""
    section = Section(
        'collapse',
        'Collapse, by kind of crop',
        'Local crops can collapse while the global ones are well. Charts of one '
        'measure share their axis, so that kinds of crops compare.',
    )
    unit = runs[0].unit
    measures: dict[str, list[str]] = {}
    for scalar in dict.fromkeys(scalar for run in runs for scalar in run.scalars):
        match = _COLLAPSE.fullmatch(scalar)
        if match:
            measures.setdefault(match['measure'], []).append(match['crop'])
    order = [*MEASURES, *sorted(set(measures) - set(MEASURES))]
    for measure in (name for name in order if name in measures):
        title, text = MEASURES.get(measure, (measure.replace('_', ' '), ''))
        crops = sorted(measures[measure], key=lambda c: ([*CROPS, c].index(c), c))
        lines = {c: lines_of(runs, f'collapse/{measure}/{c}') for c in crops}
        limits = shared_limits(lines)
        group = Group(title, text)
        for crop, found in lines.items():
            heading = f'{title}, {CROPS.get(crop, crop.replace("_", " "))}'
            group.charts.append(
                _chart(
                    album,
                    f'collapse_{measure}_{crop}',
                    heading,
                    found,
                    unit,
                    limits=limits,
                )
            )
        section.groups.append(group)
    section.omitted += [
        f'{run.name}: no collapse/* was logged; older runs have none'
        for run in runs
        if not any(_COLLAPSE.fullmatch(s) for s in (*run.scalars, *run.lapses))
    ]
    section.omitted += _lapses(runs, _in_collapse)
    aucs = {scalar: lines_of(runs, scalar) for scalar in _AUC}
    aucs = {scalar: lines for scalar, lines in aucs.items() if lines}
    if aucs:
        limits = shared_limits(aucs | {'': [Line('', 0, [(0.0, 0.5)])]})
        group = Group(
            'Does the affinity see more than cosine?',
            'How well a pair of local views of one image is told from a pair of two '
            'images, as the area under the ROC curve: 1 is always, 0.5 is chance.',
        )
        group.charts = [
            _chart(
                album,
                scalar,
                title_of(scalar),
                lines,
                unit,
                steps=True,
                limits=limits,
                level=(0.5, 'chance'),
            )
            for scalar, lines in aucs.items()
        ]
        section.groups.append(group)
    elif not any(scalar in run.lapses for run in runs for scalar in _AUC):
        section.omitted.append('auc_affinity, auc_cosine: no run has an affinity')
    return section


def look_at(
    runs: Sequence[Run],
    checkpoints: Sequence[Path | None],
    samples: int,
    data_root: str | None,
    use_model: bool,
    say: Callable[[str], None],
) -> Sight:
    """Read the data once and look at them through every run's network.

    Raises:
        ValueError: If a checkpoint is of another network.
        OSError, ValueError: If `data_root` was given and its data cannot be read.
    """
    sight = Sight()
    configs: list[Config | None] = []
    for run in runs:
        cfg = copy.deepcopy(run.cfg)
        if cfg is not None and data_root is not None:
            set_data_root(cfg, data_root)
        configs.append(cfg)
        if cfg is None:
            sight.no_data.append(f'{run.name}: {NO_CONFIG}')
    first = next((cfg for cfg in configs if cfg is not None), None)
    if first is None:
        return sight
    try:
        sight.query = read_samples(first, 'val_dataloader', QUERIES)
    except (OSError, ValueError) as error:
        if data_root is not None:
            raise
        sight.no_data.append(f'the data cannot be read ({_one_line(error)})')
        return sight
    say(f'images: {len(sight.query.images):,} of {sight.query.total:,} queries')
    sight.chosen = one_of_each(sight.query, samples)
    if not use_model:
        sight.no_model.append('--no-model was given')
        return sight
    try:
        sight.bank = read_samples(first, 'bank_dataloader', BANK)
        say(f'images: {len(sight.bank.images):,} of {sight.bank.total:,} of the bank')
    except (OSError, ValueError) as error:
        sight.no_bank.append(f'no bank to search ({_one_line(error)})')
    for place, (run, cfg, checkpoint) in enumerate(
        zip(runs, configs, checkpoints, strict=True)
    ):
        if cfg is None:
            continue
        if checkpoint is None:
            sight.no_model.append(f'{run.name}: no checkpoint yet')
        elif _data_of(cfg) != _data_of(first):
            sight.no_model.append(
                f'{run.name}: evaluated on other data than the first run; make it a '
                'report of its own'
            )
        else:
            say(f'{run.name}: looking through {checkpoint.name}')
            try:
                sight.looks.append(_look(run, place, cfg, checkpoint, sight))
            except OtherKindError as error:
                sight.no_model.append(f'{run.name}: {error}')
    return sight


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())


def _data_of(cfg: Config) -> dict:
    dataset = (cfg.get('val_dataloader') or {}).get('dataset') or {}
    return {key: value for key, value in dataset.items() if key != 'data_root'}


def _look(run: Run, place: int, cfg: Config, checkpoint: Path, sight: Sight) -> Look:
    assert sight.query is not None
    encoder = Encoder(cfg, checkpoint)
    shown = sight.query.images[sight.chosen]
    colours, variance, factor, alignment = None, 0.0, 1, None
    try:
        maps, factor = encoder.dense(sight.query.images[_batch(sight)])
        colours, variance = pca_colours(maps)
    except ValueError as error:
        sight.no_map.append(f'{run.name}: {error}')
    if not encoder.has_maps:
        sight.no_alignment.append(f'{run.name}: no alignment maps in the neck')
    elif colours is not None:
        alignment, factor = encoder.alignment(shown)
    return Look(
        run,
        place,
        checkpoint.name,
        encoder.features(sight.query.images),
        None if sight.bank is None else encoder.features(sight.bank.images),
        colours,
        variance,
        factor,
        alignment,
    )


def _batch(sight: Sight) -> list[int]:
    """Positions of `BATCH` queries, those that are shown first."""
    assert sight.query is not None
    others = [n for n in evenly(len(sight.query.images), BATCH) if n not in sight.chosen]
    return (sight.chosen + others)[: max(BATCH, len(sight.chosen))]


def views_section(runs: Sequence[Run], sight: Sight, album: Album) -> Section:
    """Views of the samples, and which pairs are pulled or pushed."""
    section = Section(
        'views',
        'Views',
        'What training makes of an image, cut and coloured by its own pipeline. Boxes on '
        'the image are the crops of the views beside it: blue for global, orange for '
        'local. The diagram has the pairs, by the roles of the views: an arrow leads from '
        'a view to the target it is pulled to, a plain line joins two that are pulled '
        'together, a dashed one two that are pushed apart.',
        omitted=list(sight.no_data),
    )
    if sight.query is None:
        return section
    recipes: list[tuple[list[ViewSpec], Relations, list[Run]]] = []
    for run in runs:
        if run.cfg is None:
            continue
        views = (run.cfg.model.get('data_preprocessor') or {}).get('views')
        if views is None:
            section.omitted.append(
                f"{run.name}: views are made by the data set's pipeline, not by a "
                'preprocessor that can repeat them'
            )
            continue
        specs = parse_views(views)
        init_default_scope(run.cfg.get('default_scope', 'mmlogo'))
        head = run.cfg.model.get('head')
        relations = relations_of(specs, MODELS.build(head) if head else None)
        for known, pairs, users in recipes:
            if (known, pairs) == (specs, relations):
                users.append(run)
                break
        else:
            recipes.append((specs, relations, [run]))
    for number, (specs, relations, users) in enumerate(recipes, 1):
        seed = int((users[0].cfg or {}).get('randomness', {}).get('seed') or 0)
        group = Group(', '.join(run.name for run in users), _describe(specs), phone=3)
        for position in sight.chosen[:RECIPE_SAMPLES]:
            group.rows.append(
                _view_row(
                    sight.query,
                    position,
                    specs,
                    relations,
                    seed,
                    number,
                    sight.chosen[0],
                    album,
                )
            )
        group.caption = (
            f'Epoch 0, seed {seed}. A percentage is the share of the image that the view '
            'covers.'
        )
        section.groups.append(group)
    return section


def _describe(specs: Sequence[ViewSpec]) -> str:
    parts = []
    for spec in dict.fromkeys(specs):
        count, (low, high) = specs.count(spec), spec.scale
        parts.append(
            f'{count} {spec.role} of {low:g} to {high:g} of the image, {spec.size} px'
        )
    return '; '.join(parts) + '.'


def _view_row(
    query: Samples,
    position: int,
    specs: Sequence[ViewSpec],
    relations: Relations,
    seed: int,
    recipe: int,
    first: int,
    album: Album,
) -> Row:
    image, index = query.images[position], int(query.index[position])
    key = pack_seeds([SeededIndex(index, 0, seed)])[0]
    name = f'views{recipe}_{index}'
    cells = [
        Cell(
            album.plain(
                f'{name}_crops',
                f'Image of class {query.name(position)} with the boxes of its crops',
                lambda path: draw_crops(image, key, specs, path),
            ),
            'image and crops',
        )
    ]
    for place, spec in enumerate(specs):
        view, box, flipped = make_view(image, key, place, spec)
        label = label_of(specs, place)
        share = 100 * box[2] * box[3] / (image.shape[1] * image.shape[2])
        cells.append(
            Cell(
                album.pixels(
                    f'{name}_{label}', f'{spec.role.capitalize()} view {label}', view
                ),
                f'{label}: {share:.0f} %' + (', flipped' if flipped else ''),
                mark=spec.role,
            )
        )
    if position != first:
        return Row(query.name(position), cells)
    pulls = ', '.join(f'{a} to {b}' for a, b in relations.pull)
    joins = ', '.join(f'{a} with {b}' for a, b in relations.together)
    pushes = ', '.join(f'{a} from {b}' for a, b in relations.push)
    alt = (
        f'Diagram: pulled {pulls or "none"}; together {joins or "none"}; '
        f'pushed {pushes or "none"}.'
    )
    diagram = album.drawn(
        f'views{recipe}_pairs',
        alt,
        lambda path, theme: draw_relations(specs, relations, path, theme),
    )
    names = ('arrow: pulled to', 'line: pulled together', 'dashed: pushed apart')
    shown = zip(names, relations, strict=True)
    text = '; '.join(name for name, pairs in shown if pairs)
    cells.append(Cell(diagram, text, mark='diagram'))
    return Row(query.name(position), cells)


def _nobody_chose(sight: Sight) -> str:
    return (
        f'The {len(sight.chosen)} images are the first of classes spread evenly; nobody '
        'chose them.'
    )


def neighbours_section(sight: Sight, album: Album) -> Section:
    """The nearest images of the bank."""
    section = Section(
        'neighbours',
        'Nearest neighbours',
        omitted=sight.no_data + sight.no_model + sight.no_bank,
    )
    query, bank = sight.query, sight.bank
    if query is None or bank is None or not sight.looks:
        return section
    count = min(NEIGHBOURS, len(bank.images))
    section.lead = (
        f'For each query the {count} images whose backbone features have the largest '
        f'cosine to it, among {len(bank.images):,} of the bank. A tick and a solid frame '
        'are of the same class, a cross and a dashed frame of another. '
        + _nobody_chose(sight)
    )
    found = {}
    for look in sight.looks:
        assert look.bank is not None
        parts = nearest(look.query[sight.chosen], look.bank, count)
        found[look.run.name] = [torch.cat(part) for part in zip(*parts, strict=True)]
    for order, position in enumerate(sight.chosen):
        truth, index = query.name(position), int(query.index[position])
        group = Group(truth)
        picture = album.pixels(f'query_{index}', f'Query, {truth}', query.images[position])
        for look in sight.looks:
            cosines, places = (x[order] for x in found[look.run.name])
            cells = [Cell(picture, 'query', mark='query')]
            right = 0
            for cosine, place in zip(cosines.tolist(), places.tolist(), strict=True):
                name = bank.name(place)
                same = name == truth
                right += same
                cells.append(
                    Cell(
                        album.pixels(
                            f'bank_{int(bank.index[place])}',
                            f'Neighbour, {name}, '
                            + ('the same class' if same else 'another class'),
                            bank.images[place],
                        ),
                        f'{"✓" if same else "✗"} {cosine:.2f} {name}',
                        mark='right' if same else 'wrong',
                    )
                )
            note = f'{right} of {count}'
            group.rows.append(Row(look.run.name, cells, look.place, note))
        group.phone = 5
        section.groups.append(group)
    return section


def map_section(sight: Sight, album: Album) -> Section:
    """A t-SNE of the queries for each run."""
    section = Section(
        'map', 'A map of the features', omitted=sight.no_data + sight.no_model
    )
    query = sight.query
    if query is None or not sight.looks:
        return section
    if len(query.images) < 5:
        section.omitted.append(f'a map needs 5 images, and there are {len(query.images)}')
        return section
    section.lead = (
        f'{len(query.images):,} of {query.total:,} queries, spread evenly, by the cosine '
        'of their backbone features (t-SNE, started from the first two principal '
        'components). Look for classes that keep together and for those that mix; '
        'distances between far groups, and places on two maps, do not compare.'
    )
    group = Group('', wide=True)
    for look in sight.looks:
        group.charts.append(_map(look, query, album))
    section.groups.append(group)
    return section


def _map(look: Look, query: Samples, album: Album) -> Picture:
    points = embed(look.query)
    thumbnails = {
        n: _thumbnail(query.images[n]) for n in evenly(len(query.images), THUMBNAILS)
    }
    return album.drawn(
        f'map_{look.run.name}',
        f'Map of {len(query.images)} images by their features in {look.run.name}, '
        'coloured by class',
        lambda path, theme: draw_embedding(
            look.query,
            query.labels,
            query.classes,
            path,
            thumbnails,
            title=f'{look.run.name}, {look.checkpoint}',
            points=points,
            theme=theme,
            text=1.5,
        ),
    )


def _thumbnail(image: Tensor) -> Tensor:
    return resize(image, [64, 64], antialias=True)


def dense_section(sight: Sight, album: Album) -> Section:
    """Principal components of dense features as colours."""
    section = Section(
        'dense',
        'Dense features',
        omitted=sight.no_data + sight.no_model + sight.no_map,
    )
    query = sight.query
    looks = [look for look in sight.looks if look.colours is not None]
    if query is None or not looks:
        return section
    maps = '; '.join(
        f'{look.run.name}: {look.colours.shape[1]} x {look.colours.shape[2]} cells'
        + (f' of images enlarged {look.factor} times' if look.factor > 1 else '')
        + f', {100 * look.variance:.0f} % of the variance'
        for look in looks
        if look.colours is not None
    )
    section.lead = (
        'The first three principal components of all cells of the last maps of '
        f'{len(_batch(sight))} images, as red, green and blue. Cells of one colour are '
        'alike to the network: '
        'look for colours that follow the object and repeat from image to image. Which '
        'component is which colour differs from run to run. One colour all over is of '
        'cells that hardly differ.'
    )
    group = Group('', phone=3)
    for order, position in enumerate(sight.chosen):
        name, index = query.name(position), int(query.index[position])
        picture = album.pixels(f'query_{index}', f'Image, {name}', query.images[position])
        cells = [Cell(picture, name)]
        for look in looks:
            assert look.colours is not None
            pixels = enlarge(look.colours[order : order + 1])[0]
            cells.append(
                Cell(
                    album.pixels(
                        f'dense_{look.run.name}_{index}',
                        f'Features of {look.run.name} as colours, {name}',
                        pixels,
                    ),
                    look.run.name,
                    place=look.place,
                )
            )
        group.rows.append(Row('', cells))
    group.caption = (
        f'{maps}. Where images were enlarged, they are larger than any the network was '
        'trained on. Colours between cells are interpolated.'
    )
    if all(look.factor == 1 for look in looks):
        group.caption = f'{maps}. Colours between cells are interpolated.'
    section.groups.append(group)
    return section


def alignment_section(sight: Sight, album: Album) -> Section:
    """Where a coupled neck looks."""
    section = Section(
        'alignment',
        'Alignment maps',
        omitted=sight.no_data + sight.no_model + sight.no_alignment,
    )
    query = sight.query
    looks = [look for look in sight.looks if look.alignment is not None]
    if query is None or not looks:
        return section
    section.lead = (
        'Where the neck gathers its aligned vectors: the weights of one map of each group '
        'of channels, over the image. Of each group the map of the least entropy on '
        'average over these images is shown, the same one for every image. Look for maps '
        'that follow the content.'
    )
    for look in looks:
        assert look.alignment is not None
        groups, height, width = (look.alignment.shape[i] for i in (1, 3, 4))
        which = sharpest(look.alignment)
        group = Group(look.run.name, phone=3)
        for order, position in enumerate(sight.chosen):
            name, index = query.name(position), int(query.index[position])
            image = query.images[position]
            cells = [Cell(album.pixels(f'query_{index}', f'Image, {name}', image), name)]
            for number, k in enumerate(which):
                weights = look.alignment[order, number, k]
                peak = float(weights.max()) * height * width
                cells.append(
                    Cell(
                        album.pixels(
                            f'alignment_{look.run.name}_{index}_{number + 1}',
                            f'Map {k + 1} of group {number + 1} over {name}',
                            overlay(image, weights),
                        ),
                        f'group {number + 1}, map {k + 1}: peak {peak:.2f}',
                    )
                )
            group.rows.append(Row('', cells))
        group.caption = (
            f'{look.checkpoint}; {groups} groups, maps of {height} x {width} cells'
            + (f' of images enlarged {look.factor} times' if look.factor > 1 else '')
            + '. A peak is the largest weight over that of a flat map; colours go from the '
            'least to the largest weight, however close they are.'
        )
        section.groups.append(group)
    return section
