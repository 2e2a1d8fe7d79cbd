# BYOL's two views for 32 pixels: no blur.
_base_ = 'byol_pair.py'
model = dict(
    data_preprocessor=dict(
        views=dict(first=dict(size=32, blur=0.0), second=dict(size=32, blur=0.0))
    )
)
