# CGH's two views for 32 pixels: no blur.
_base_ = 'weak_strong.py'
model = dict(
    data_preprocessor=dict(views=dict(strong=dict(size=32, blur=0.0), weak=dict(size=32)))
)
