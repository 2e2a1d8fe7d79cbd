# COCO's polygons as masks, for the dense probes of a backbone. The bank and the queries are
# 400 images each, squares of 224 pixels. A classifier of pixels needs no more images, and
# whole feature maps are kept in memory.
data_root = 'data/coco'
bank_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='CocoMasks', data_root=data_root, split='train2017', size=224, limit=400
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='CocoMasks', data_root=data_root, split='val2017', size=224, limit=400
    ),
)
test_cfg = dict(type='KNNTestLoop')
test_evaluator = [
    # the background would be two thirds of all pixels and cells
    dict(type='SegmentationMetric', leave_out=(0,)),
    dict(type='PatchKNNMetric', per_image=None, leave_out=(0,), k=(1, 20)),
    dict(type='RetrievalMetric'),
]
