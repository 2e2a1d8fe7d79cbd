# STL-10 in memory: 105,000 images without labels for the loss; 5,000 labelled ones as
# k-NN bank, 8,000 as queries; 96 x 96.
data_root = 'data/stl10'
# Of all processes; our tools divide it. `train_dataloader.batch_size`, per process, is
# left out here and wins where it is given.
global_batch_size = 512

train_dataloader = dict(
    num_workers=0,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemorySTL10', data_root=data_root, split='train+unlabeled'),
)
bank_dataloader = dict(
    batch_size=512,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemorySTL10', data_root=data_root, split='train'),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemorySTL10', data_root=data_root, split='test'),
)
test_dataloader = val_dataloader

val_cfg = dict(type='KNNLoop')
test_cfg = dict(type='KNNTestLoop')
val_evaluator = dict(type='KNNMetric', k=(1, 20, 200), temperature=0.07)
test_evaluator = val_evaluator
