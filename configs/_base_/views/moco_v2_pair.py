# MoCo v2's two views (arXiv 2003.04297, section 3).
model = dict(
    data_preprocessor=dict(
        views=dict(
            global_views=dict(
                role='global',
                count=2,
                size=224,
                scale=(0.2, 1.0),
                jitter=(0.4, 0.4, 0.4, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=0.5,
            ),
        ),
    )
)
