# ImageNet-1k. Workers cut the crops; the device changes the colours. A damaged image ends the
# run; docs/data.md has the other choice.
data_root = 'data/imagenet'
# The batch of all processes together; our tools divide it among them. If a config sets
# `train_dataloader.batch_size`, that is the batch of each process and is used instead.
global_batch_size = 512

train_pipeline = [dict(type='LoadImage'), dict(type='MultiCrop')]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackImage'),
]
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='ImageNet', data_root=data_root, split='train', pipeline=train_pipeline
    ),
)
bank_dataloader = dict(
    batch_size=256,
    num_workers=8,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='ImageNet', data_root=data_root, split='train', pipeline=test_pipeline
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='ImageNet', data_root=data_root, split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_cfg = dict(type='KNNLoop')
test_cfg = dict(type='KNNTestLoop')
val_evaluator = [
    dict(type='KNNMetric', k=(1, 20, 200), temperature=0.07),
    dict(type='OnlineProbeMetric'),
]
# `tools/test.py` measures more; docs/evaluation.md says what each metric is.
test_evaluator = [
    *val_evaluator,
    dict(type='RetrievalMetric'),
    dict(type='SpectrumMetric', features='backbone'),
    dict(type='SpectrumMetric', features='neck'),
]
