from mmlogo.engine import hooks, knn_loop, optim, provenance, schedule, wrapper

__all__ = ['hooks', 'knn_loop', 'optim', 'provenance', 'schedule', 'wrapper']
