"""Queue, teacher, split BN, shuffled keys, frozen calls, view counts."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import build, cgh, encoder, lewel_b, moco
from jaxtyping import TypeCheckError
from torch import nn

from mmlogo.models.parts import shuffle
from mmlogo.models.parts.clock import Clock
from mmlogo.models.parts.frozen import call_frozen
from mmlogo.models.parts.norms import SplitBatchNorm2d
from mmlogo.models.parts.pairs import GlobalLocal, num_globals_of
from mmlogo.models.parts.queue import Queue
from mmlogo.models.parts.shuffle import shuffle_order, shuffled
from mmlogo.models.parts.statistics import frozen_statistics, refit_statistics
from mmlogo.models.parts.teacher import Teacher


class TestQueue:
    def test_overwrites_the_oldest_and_wraps(self):
        queue = Queue(length=6, dim=1)
        batches = [torch.full((2, 1), float(i)) for i in range(4)]
        for batch in batches:
            queue.enqueue(batch)
        assert queue.keys.squeeze().tolist() == [3, 3, 1, 1, 2, 2]
        assert queue.pointer == 2

    def test_a_snapshot_does_not_change(self):
        queue = Queue(length=4, dim=2)
        before = queue.negatives()
        copied = before.clone()
        queue.enqueue(torch.ones(2, 2))
        assert torch.equal(before, copied)
        assert not torch.equal(queue.negatives(), copied)

    def test_starts_with_unit_vectors(self):
        norms = Queue(length=16, dim=8).keys.norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(16))

    def test_refuses_a_batch_that_does_not_divide_it(self):
        with pytest.raises(
            ValueError, match=r'queue length 8 is not a multiple of the 3 keys'
        ):
            Queue(length=8, dim=2).enqueue(torch.zeros(3, 2))

    def test_pointer_survives_a_checkpoint(self):
        queue, other = Queue(length=6, dim=1), Queue(length=6, dim=1)
        queue.enqueue(torch.ones(2, 1))
        other.load_state_dict(queue.state_dict())
        other.enqueue(torch.full((2, 1), 2.0))
        assert other.keys[:4].squeeze().tolist() == [1, 1, 2, 2]

    def test_reads_the_pointer_of_older_checkpoints(self):
        queue = Queue(length=6, dim=1)
        state = dict(queue.state_dict())
        state['pointer.count'] = state.pop('pointer') + 4
        queue.load_state_dict(state)
        assert queue.pointer == 4

    def test_a_batch_of_another_size_goes_over_the_end(self):
        queue = Queue(length=6, dim=1)
        queue.enqueue(torch.ones(2, 1))
        for value in (2.0, 3.0):
            queue.enqueue(torch.full((3, 1), value))
        assert queue.keys.squeeze().tolist() == [3, 3, 2, 2, 2, 3]


class Pooled(nn.Module):
    """A neck: a tuple of feature maps to a tuple of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return (self.fc(x[0].mean((2, 3))),)


class Conv(nn.Sequential):
    def forward(self, x):
        return (super().forward(x),)


@pytest.fixture
def student():
    return Conv(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), Pooled()


def step(module: nn.Module) -> None:
    with torch.no_grad():
        for p in module.parameters():
            p.add_(1.0)


def teach(student, **arguments) -> Teacher:
    """A teacher of 20 updates that has followed its student's initial weights."""
    backbone, neck = student
    teacher = Teacher(backbone=backbone, neck=neck, **arguments)
    teacher.clock = Clock(updates=20, steps_per_epoch=4)
    teacher.follow(backbone=backbone, neck=neck)
    return teacher


def follow(teacher: Teacher, student, update: int | None = None) -> None:
    """What a forward does after one more optimiser step, or after `update` of them."""
    update = teacher.clock.update + 1 if update is None else update
    teacher.clock.tell(iteration=update, update=update)
    teacher.follow(backbone=student[0], neck=student[1])


class TestTeacher:
    def test_follows_by_the_formula(self, student):
        teacher = teach(student, momentum=0.9)
        before = [p.clone() for p in teacher.parameters()]
        step(student[0]), step(student[1])
        follow(teacher, student)
        new = [p for part in student for p in part.parameters()]
        for old, p, q in zip(before, teacher.parameters(), new, strict=True):
            torch.testing.assert_close(p, 0.9 * old + 0.1 * q)

    def test_starts_as_the_student_even_if_that_was_initialised_later(self, student):
        backbone, neck = student
        teacher = Teacher(backbone=backbone, neck=neck, momentum=0.9)
        teacher.clock = Clock(updates=20, steps_per_epoch=4)
        step(backbone)
        backbone[1].running_mean.fill_(3.0)
        teacher.follow(backbone=backbone, neck=neck)
        for p, q in zip(teacher.backbone.parameters(), backbone.parameters(), strict=True):
            assert torch.equal(p, q)
        assert torch.equal(teacher.backbone[1].running_mean, torch.full((4,), 3.0))

    def test_needs_a_clock(self, student):
        teacher = Teacher(backbone=student[0], neck=student[1], momentum=0.9)
        with pytest.raises(ValueError, match=r"Teacher has no clock.*type='ClockHook'"):
            teacher.follow(backbone=student[0], neck=student[1])

    def test_moves_once_per_optimiser_step(self, student):
        """However many micro-batches make it, and whatever they change in BatchNorm."""
        teacher = teach(student, momentum=0.5)
        step(student[0])
        follow(teacher, student)
        once = [p.clone() for p in teacher.parameters()]
        step(student[0])
        for _ in range(2):
            follow(teacher, student, update=1)
        assert all(
            torch.equal(a, b) for a, b in zip(once, teacher.parameters(), strict=True)
        )

    def test_stands_still_in_evaluation(self, student):
        teacher = teach(student, momentum=0.5).eval()
        before = [p.clone() for p in teacher.parameters()]
        step(student[0])
        follow(teacher, student)
        assert all(
            torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True)
        )
        follow(teacher.train(), student, update=1)  # the update was not lost
        assert not torch.equal(before[0], next(teacher.parameters()))

    def test_a_new_training_of_old_weights_begins_with_a_step(self, student):
        """Its first forward finds a teacher and a student that were loaded."""
        old = teach(student, momentum=0.5)
        old.at = 7
        teacher = Teacher(backbone=student[0], neck=student[1], momentum=0.5)
        teacher.load_state_dict(old.state_dict())
        teacher.clock = Clock(updates=20, steps_per_epoch=4)
        before = [p.clone() for p in teacher.parameters()]
        step(student[0])  # weights of the student's own
        for update, moves in ((0, False), (1, True)):
            follow(teacher, student, update)
            moved = any(
                not torch.equal(a, b)
                for a, b in zip(before, teacher.parameters(), strict=True)
            )
            assert moved is moves
            step(student[0])

    @pytest.mark.parametrize(('update', 'moves'), [(3, False), (4, True)])
    def test_a_resumed_run_makes_the_update_that_was_not_made(self, student, update, moves):
        """Of a run that was saved between two batches of one step it was made already."""
        saved = teach(student, momentum=0.5)
        saved.at = 3
        teacher = Teacher(backbone=student[0], neck=student[1], momentum=0.5)
        teacher.load_state_dict(saved.state_dict())
        teacher.clock = Clock(updates=20, steps_per_epoch=4)
        before = next(teacher.parameters()).clone()
        step(student[0])
        follow(teacher, student, update)
        assert (not torch.equal(before, next(teacher.parameters()))) is moves

    def test_reads_older_checkpoints(self, student):
        """They counted the copy of the first weights as an update."""
        state = dict(teach(student, momentum=0.5).state_dict())
        del state['_extra_state']
        state['updates.count'] = torch.tensor(4)
        teacher = Teacher(backbone=student[0], neck=student[1], momentum=0.5)
        teacher.load_state_dict(state)
        assert teacher.at == 3

    def test_keeps_its_own_batch_statistics(self, student):
        backbone, _ = student
        teacher = teach(student, momentum=0.9)
        backbone(torch.rand(4, 3, 8, 8))
        assert torch.equal(teacher.backbone[1].running_mean, torch.zeros(4))
        teacher(torch.rand(4, 3, 8, 8))
        assert not torch.equal(teacher.backbone[1].running_mean, torch.zeros(4))

    def test_gives_no_gradient(self, student):
        backbone, neck = student
        teacher = Teacher(backbone=backbone, neck=neck, momentum=0.9)
        assert not teacher(torch.rand(2, 3, 8, 8, requires_grad=True))[0].requires_grad
        assert not any(p.requires_grad for p in teacher.parameters())

    def test_moves_with_the_model(self, student):
        backbone, neck = student
        teacher = teach(student, momentum=0.5).double()
        backbone.double(), neck.double()
        step(backbone)
        follow(teacher, student)
        gap = next(backbone.parameters()) - next(teacher.backbone.parameters())
        torch.testing.assert_close(gap, torch.full_like(gap, 0.5))

    def test_next_update_is_the_same_after_a_checkpoint(self, student):
        backbone, neck = student
        teacher = teach(student, momentum=0.9)
        step(backbone)
        resumed = Teacher(backbone=backbone, neck=neck, momentum=0.9)
        resumed.load_state_dict(copy.deepcopy(teacher.state_dict()))
        resumed.clock = Clock(updates=20, steps_per_epoch=4)
        before = next(teacher.parameters()).clone()
        for one in (teacher, resumed):
            follow(one, student, update=1)
        assert not torch.equal(before, next(teacher.parameters()))
        for p, q in zip(teacher.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(p, q)

    def eman(self, student, momentum: float = 0.75) -> Teacher:
        return teach(student, momentum=momentum, statistics='averaged')

    def test_eman_averages_statistics_as_parameters(self, student):
        backbone, _ = student
        teacher = self.eman(student)
        for _ in range(3):
            backbone(torch.rand(4, 3, 8, 8) + 1)
        before = {k: v.clone() for k, v in teacher.backbone[1].named_buffers()}
        step(backbone)
        follow(teacher, student)
        for name in ('running_mean', 'running_var'):
            expected = 0.75 * before[name] + 0.25 * getattr(backbone[1], name)
            torch.testing.assert_close(getattr(teacher.backbone[1], name), expected)
        assert int(teacher.backbone[1].num_batches_tracked) == 3

    def test_eman_uses_its_statistics_in_training_too(self, student):
        teacher, x = self.eman(student), torch.rand(4, 3, 8, 8) + 5
        expected = teacher.eval()(x)[0]
        teacher.train()
        assert teacher.training
        assert torch.equal(teacher(x)[0], expected)
        assert torch.equal(teacher.backbone[1].running_mean, torch.zeros(4))

    def test_eman_needs_no_call_of_train(self, student):
        backbone, neck = student
        arguments = dict(backbone=backbone, neck=neck, momentum=0.9)
        teacher = Teacher(**arguments, statistics='averaged')
        teacher(torch.rand(4, 3, 8, 8) + 5)
        assert torch.equal(teacher.backbone[1].running_mean, torch.zeros(4))

    def test_eman_follows_after_train_and_eval(self, student):
        """Its modules stay in evaluation mode; it moves all the same."""
        backbone, _ = student
        teacher = self.eman(student).eval().train()
        step(backbone)
        before = next(teacher.parameters()).clone()
        follow(teacher, student)
        assert not torch.equal(next(teacher.parameters()), before)

    def test_eman_moves_with_the_model(self, student):
        """MMEngine's averaged model keeps a list of tensors that `.to` replaces."""
        backbone, neck = student
        teacher = self.eman(student)
        teacher.double(), backbone.double(), neck.double()
        backbone(torch.rand(4, 3, 8, 8).double() + 1)
        step(backbone)
        follow(teacher, student)
        assert torch.equal(
            teacher.backbone[1].running_mean, 0.25 * backbone[1].running_mean
        )

    def test_cosine_momentum_is_the_formula_per_update(self, student):
        backbone, _ = student
        teacher = teach(student, momentum=0.9, schedule='cosine')
        teacher.clock = Clock(updates=4, steps_per_epoch=1)
        for t in range(5):
            m = 1 - 0.1 * (math.cos(math.pi * t / 4) + 1) / 2
            assert teacher.momentum(t) == pytest.approx(m)
            before = next(teacher.parameters()).clone()
            step(backbone)
            follow(teacher, student)
            expected = m * before + (1 - m) * next(backbone.parameters())
            torch.testing.assert_close(next(teacher.parameters()), expected)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (dict(schedule='linear'), r"schedule='linear', but .*'cosine'"),
            (dict(statistics='copied'), r"statistics='copied', but .*'averaged'"),
        ],
    )
    def test_refuses_what_it_has_not(self, student, changes, message):
        with pytest.raises(ValueError, match=message):
            Teacher(backbone=student[0], neck=student[1], momentum=0.9, **changes)

    def test_momentum_is_the_papers(self, student):
        with pytest.raises(ValueError, match='weight of the old parameters'):
            Teacher(backbone=student[0], neck=student[1], momentum=1.5)


class TestSplitBN:
    @pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
    def test_equals_separate_batch_norms(self, layout):
        x = (torch.randn(12, 5, 3, 4) * 2 + 1).contiguous(memory_format=layout)
        x.requires_grad_()
        split = SplitBatchNorm2d(5, num_splits=3)
        nn.init.normal_(split.weight), nn.init.normal_(split.bias)
        out, cotangent = split(x), torch.randn(12, 5, 3, 4)
        assert out.is_contiguous(memory_format=layout)
        names = (x, split.weight, split.bias)
        found = torch.autograd.grad(out, names, cotangent)
        expected = [torch.zeros_like(g) for g in found]
        for part in range(3):
            plain = nn.BatchNorm2d(5)
            plain.weight, plain.bias = split.weight, split.bias
            alone = plain(x[part::3].contiguous())
            torch.testing.assert_close(out[part::3], alone)
            for total, g in zip(
                expected, torch.autograd.grad(alone, names, cotangent[part::3]), strict=True
            ):
                total += g
        torch.testing.assert_close(list(found), expected)

    @pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
    def test_running_statistics_are_the_mean_of_the_parts(self, layout):
        x = torch.randn(8, 2, 3, 3).contiguous(memory_format=layout)
        split = SplitBatchNorm2d(2, num_splits=2)
        parts = [nn.BatchNorm2d(2), nn.BatchNorm2d(2)]
        split(x), parts[0](x[0::2]), parts[1](x[1::2])
        for name in ('running_mean', 'running_var'):
            expected = torch.stack([getattr(p, name) for p in parts]).mean(0)
            torch.testing.assert_close(getattr(split, name), expected)

    def test_without_momentum_its_statistics_are_the_mean_of_all_batches(self):
        split, plain = (
            SplitBatchNorm2d(2, 1, momentum=None),
            nn.BatchNorm2d(2, momentum=None),
        )
        for x in torch.randn(3, 8, 2, 3, 3) + 2:
            split(x), plain(x)
        torch.testing.assert_close(split.running_mean, plain.running_mean)
        torch.testing.assert_close(split.running_var, plain.running_var)

    def test_is_batch_norm_in_evaluation(self):
        x, split, plain = torch.randn(3, 2, 4, 4), SplitBatchNorm2d(2), nn.BatchNorm2d(2)
        assert torch.equal(split.eval()(x), plain.eval()(x))

    @pytest.mark.parametrize('n', [6, 4])
    def test_refuses_a_batch_it_cannot_divide(self, n):
        with pytest.raises(ValueError, match=rf'batch of {n} cannot be divided into 4'):
            SplitBatchNorm2d(2, num_splits=4)(torch.randn(n, 2, 2, 2))


def test_running_statistics_are_frozen_or_follow():
    norm, x = nn.BatchNorm2d(2), torch.randn(4, 2, 3, 3) + 5
    with frozen_statistics(norm):
        norm(x)
    assert torch.equal(norm.running_mean, torch.zeros(2))
    with frozen_statistics(norm, unless=True):
        norm(x)
    assert (norm.running_mean > 0.3).all()
    assert norm.momentum == 0.1


class TestShuffle:
    def test_gives_every_sample_its_own_key(self, seeds):
        x = torch.arange(10.0)[:, None]
        double, same = shuffled(lambda v: (v * 2, v), x, seeds(10), 0)
        assert torch.equal(double, x * 2)
        assert torch.equal(same, x)

    def test_encodes_in_another_order(self, seeds):
        seen = []
        x = torch.arange(32.0)[:, None]
        shuffled(lambda v: seen.append(v) or (v,), x, seeds(32), 0)
        assert not torch.equal(seen[0], x)
        assert torch.equal(seen[0].sort(0).values, x)

    def test_order_depends_on_epoch_and_view_alone(self, seeds):
        orders = [
            shuffle_order(seeds(64), 0),
            shuffle_order(seeds(64), 1),
            shuffle_order(seeds(64, epoch=1), 0),
            shuffle_order(seeds(64, seed=1), 0),
        ]
        assert torch.equal(orders[0], shuffle_order(seeds(64), 0))
        for a in range(4):
            assert torch.equal(orders[a].sort().values, torch.arange(64))
            for b in range(a):
                assert not torch.equal(orders[a], orders[b])

    def test_moves_whole_samples_whatever_their_order(self, seeds):
        """The order of the samples in the batch does not change who sits where."""
        k, mixed = seeds(16), torch.randperm(16)
        assert torch.equal(k[shuffle_order(k, 0)], k[mixed][shuffle_order(k[mixed], 0)])


def test_frozen_call_moves_the_input_alone():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).train()
    x = torch.randn(5, 3, requires_grad=True)
    before = net[1].running_mean.clone()
    call_frozen(net, x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(net[1].running_mean, before)
    assert net.training
    torch.testing.assert_close(call_frozen(net, x), net.eval()(x))


class TestRoles:
    def views(self, n):
        return [torch.full((1,), float(i)) for i in range(n)]

    def test_split(self):
        views = GlobalLocal.split(self.views(5), 2)
        assert [len(part) for part in views] == [2, 3]
        assert views.local_views[0].item() == 2

    @pytest.mark.parametrize(
        ('count', 'num_globals', 'text'),
        [
            (1, 2, 'the batch has 1 views per image and 2'),
            (3, 1, '1 global views per image, but pulling needs at least 2'),
            (3, 2, '1 local view per image'),
        ],
    )
    def test_too_few(self, count, num_globals, text):
        with pytest.raises(ValueError, match=text):
            GlobalLocal.split(self.views(count), num_globals)

    def test_one_tensor_is_one_view(self):
        with pytest.raises(ValueError, match='the batch has 1 views'):
            GlobalLocal.split(torch.zeros(4, 3, 8, 8), 2)

    def test_who_knows_the_roles(self):
        unknowing, knowing = nn.Identity(), nn.Identity()
        knowing.num_globals, knowing.num_locals = 3, 2
        assert num_globals_of(knowing, None) == 3
        assert num_globals_of(unknowing, 2) == 2
        with pytest.raises(ValueError, match='does not say which views are global'):
            num_globals_of(unknowing, None)
        with pytest.raises(ValueError, match='num_globals=2, but the data preprocessor'):
            num_globals_of(knowing, 2)


def test_shapes_are_checked_at_the_seams():
    """The import hook of conftest.py is in force: a wrong shape is named."""
    with pytest.raises(TypeCheckError, match=r"Float\[Tensor, 'N D'\]"):
        Queue(length=4, dim=2).enqueue(torch.zeros(2, 2, 1))


def test_numpy_has_the_same_shuffled_bn(seeds):
    """Split BN after a shuffle, against a loop over parts in NumPy."""
    x = torch.randn(8, 3, 2, 2)
    split = SplitBatchNorm2d(3, num_splits=2)
    (got,) = shuffled(lambda v: (split(v).flatten(1),), x, seeds(8), 0)
    order, a = shuffle_order(seeds(8), 0).numpy(), x.numpy().astype(np.float64)
    want = np.zeros_like(a)
    for part in range(2):
        rows = order[part::2]
        mean = a[rows].mean((0, 2, 3), keepdims=True)
        var = a[rows].var((0, 2, 3), keepdims=True)
        want[rows] = (a[rows] - mean) / np.sqrt(var + split.eps)
    np.testing.assert_allclose(got.detach().numpy(), want.reshape(8, -1), atol=1e-5)
    assert not np.allclose(
        want.reshape(8, -1),
        F.batch_norm(x, None, None, training=True).flatten(1),
        atol=1e-2,
    )


def test_refit_statistics_are_the_batches_and_go_away():
    norm, batches = nn.BatchNorm2d(2), [torch.randn(4, 2, 3, 3) * 2 + i for i in range(3)]
    norm(batches[0])
    before = {name: value.clone() for name, value in norm.named_buffers()}
    with refit_statistics(norm) as count_batch:
        for x in batches:
            count_batch()
            norm(x)
        mean = torch.stack([x.mean((0, 2, 3)) for x in batches]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
    assert norm.momentum == 0.1
    for name, value in norm.named_buffers():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ('cfg', 'processes', 'want'),
    [
        (moco(), 1, False),  # in splits
        (moco(backbone=encoder(dict(type='BN'))), 1, True),
        (moco(backbone=encoder(dict(type='BN'))), 2, False),
        (cgh(backbone=encoder(dict(type='BN')) | dict(out_indices=(2, 3))), 1, True),
        (lewel_b(norm_cfg=dict(type='BN')), 1, False),  # without negatives
    ],
)
def test_what_is_shuffled_in_vain(cfg, processes, want, monkeypatch):
    monkeypatch.setattr(shuffle, 'get_dist_info', lambda: (0, processes))
    assert shuffle.shuffles_in_vain(build(cfg)) is want
