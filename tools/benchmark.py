"""Measure speed: tools/benchmark.py WHAT [...]. `WHAT --help` tells its arguments."""

import argparse

from benchmarks import e2e, gpu, growth, hooks, knn, startup, step, survival, views

BENCHMARKS = dict(
    views=views,
    step=step,
    e2e=e2e,
    knn=knn,
    startup=startup,
    growth=growth,
    gpu=gpu,
    hooks=hooks,
    survival=survival,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = parser.add_subparsers(dest='name', required=True, metavar='WHAT')
    for name, module in BENCHMARKS.items():
        summary = (module.__doc__ or '').split('\n\n')[0]
        sub = names.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == '__main__':
    main()
