# A linear layer on the pooled features of a ResNet-50. All of it is trained.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='LabelledPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        views=dict(crop=dict(role='global', size=224, scale=(0.08, 1.0))),
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
