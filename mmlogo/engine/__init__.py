from mmlogo.engine import hooks, knn_loop, optim, wrapper

__all__ = ['hooks', 'knn_loop', 'optim', 'wrapper']
