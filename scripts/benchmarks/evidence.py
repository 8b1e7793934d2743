"""What compression costs and what rescoring gives back: choosing, scalar, binary, flat and limited one after the other; --png
draws all five."""
import argparse
import importlib

PARTS = ["choosing", "scalar", "binary", "flat", "limited"]


def run(directory: str, options) -> dict:
    """Runs the parts, each with its own engines; returns {part: figures}."""
    result = {}
    for name in PARTS:
        module = importlib.import_module(name)
        print(f"\n### {name}: {' '.join(module.__doc__.split())}\n", flush=True)
        result[name] = module.run(directory, argparse.Namespace(engines=None, rounds=options.rounds))
    return result


def draw(result: dict, path: str, title: str) -> None:
    """One picture (PNG) of all parts."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(3, 2, figsize=(14, 15))
    for name, place in zip(PARTS, axes.flat):
        importlib.import_module(name).draw(result[name], place, f"{name}, {title}")
    for place in axes.flat[len(PARTS):]:
        place.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
