# BYOL's two views (arXiv 2006.07733, appendix B), with LEWEL's crops of 0.2-1.
model = dict(
    data_preprocessor=dict(
        views=dict(
            first=dict(
                role='global',
                size=224,
                scale=(0.2, 1.0),
                jitter=(0.4, 0.4, 0.2, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=1.0,
            ),
            second=dict(
                role='global',
                size=224,
                scale=(0.2, 1.0),
                jitter=(0.4, 0.4, 0.2, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=0.1,
                solarize=0.2,
            ),
        ),
    )
)
