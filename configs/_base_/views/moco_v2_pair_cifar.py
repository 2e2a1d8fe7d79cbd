# MoCo v2's two views for 32 pixels: no blur.
_base_ = 'moco_v2_pair.py'
model = dict(data_preprocessor=dict(views=dict(global_views=dict(size=32, blur=0.0))))
