# LoGo's views (arXiv 2203.17205): two globals of 224 and two locals of 96 pixels. The scales
# of the crops are those of the authors' release.
model = dict(
    data_preprocessor=dict(
        views=dict(
            global_views=dict(
                role='global',
                count=2,
                size=224,
                scale=(0.4, 1.0),
                jitter=(0.4, 0.4, 0.4, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=0.5,
            ),
            local_views=dict(
                role='local',
                count=2,
                size=96,
                scale=(0.05, 0.4),
                jitter=(0.4, 0.4, 0.4, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=0.5,
            ),
        ),
    )
)
