# CGH's two views (arXiv 2308.13392): the strong one is the query, the weak one the key.
model = dict(
    data_preprocessor=dict(
        views=dict(
            strong=dict(
                role='global',
                size=224,
                scale=(0.2, 1.0),
                jitter=(0.4, 0.4, 0.4, 0.1),
                jitter_p=0.8,
                gray=0.2,
                blur=0.5,
            ),
            weak=dict(role='global', size=224, scale=(0.2, 1.0)),
        ),
    )
)
