# A folder of images, no labels: every image below `data_root`, at any depth. A damaged image
# ends the run. With bad_samples='skip' in the data set, other images take the place of up to
# 1 per cent (max_bad). Before a long run: tools/check_data.py DIR.
data_root = 'data/images'
# The batch of all processes together; our tools divide it among them. If a config sets
# `train_dataloader.batch_size`, that is the batch of each process and is used instead.
global_batch_size = 256

train_pipeline = [dict(type='LoadImage'), dict(type='MultiCrop')]
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='ImageFolder',
        data_root=data_root,
        with_label=False,
        pipeline=train_pipeline,
    ),
)
# There is no validation, because k-NN needs labels and a folder has none. To have it, add
# bank_dataloader, val_dataloader, val_cfg and val_evaluator with labelled images, as
# configs/_base_/datasets/imagenet.py has them.
