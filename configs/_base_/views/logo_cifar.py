# LoGo's views for 32 pixels: locals of the same side, no blur.
_base_ = 'logo.py'
model = dict(
    data_preprocessor=dict(
        views=dict(
            global_views=dict(size=32, blur=0.0), local_views=dict(size=32, blur=0.0)
        )
    )
)
