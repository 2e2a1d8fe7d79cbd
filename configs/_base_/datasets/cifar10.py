# CIFAR-10 in memory. The loss uses the 50,000 training images without their labels. With
# their labels they are the k-NN bank. The 10,000 test images are the queries.
data_root = 'data/cifar10'
# The batch of all processes together; our tools divide it among them. If a config sets
# `train_dataloader.batch_size`, that is the batch of each process and is used instead.
global_batch_size = 512

train_dataloader = dict(
    num_workers=0,  # one indexing operation a batch: a worker would cost more
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemoryCIFAR10', data_root=data_root, split='train'),
)
bank_dataloader = dict(
    batch_size=512,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemoryCIFAR10', data_root=data_root, split='train'),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='InMemoryCIFAR10', data_root=data_root, split='test'),
)
test_dataloader = val_dataloader

val_cfg = dict(type='KNNLoop')
test_cfg = dict(type='KNNTestLoop')
val_evaluator = [
    dict(type='KNNMetric', k=(1, 20, 200), temperature=0.07),
    dict(type='OnlineProbeMetric'),
    dict(type='CalibrationMetric'),
]
# `tools/test.py` measures more; docs/evaluation.md says what each metric is.
test_evaluator = [
    *val_evaluator,
    dict(type='LinearMetric'),
    dict(type='PatchKNNMetric'),
    dict(type='RetrievalMetric'),
    dict(type='CalibrationMetric', features='neck', prefix='calibration_neck'),
    dict(type='CalibrationMetric', features='pixels', prefix='calibration_pixels'),
    dict(type='SpectrumMetric', features='backbone'),
    dict(type='SpectrumMetric', features='neck'),
]
