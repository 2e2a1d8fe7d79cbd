# A linear layer on the pooled features of a CIFAR ResNet-18. All of it is trained.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='LabelledPreprocessor',
        mean=(125.307, 122.961, 113.8575),
        std=(51.5865, 50.847, 51.255),
        views=dict(crop=dict(role='global', size=32, scale=(0.08, 1.0))),
    ),
    backbone=dict(type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
