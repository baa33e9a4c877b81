"""Generate rows of the README's reference from classes and params.yaml.

`uv run python -m tests.reference` writes the rows into the README.
"""

from pathlib import Path

from pipeline import datasets, networks, optimizers
from pipeline.losses import LOSSES
from pipeline.runs import params
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
KINDS = {
    "image": "pictures",
    "text": "texts",
    "number": "numbers",
    "tokens": "for [language models](docs/language-models.md)",
}


def rows() -> dict[str, str]:
    """Return the second cell of each row, keyed by the key in the first cell."""
    names = {kind: [key for key in sorted(datasets.REGISTRY) if datasets.REGISTRY[key].kind == kind] for kind in KINDS}
    data = [
        f"{KINDS[kind]}: {', '.join(written(name, datasets.REGISTRY[name]) for name in names[kind])}" for kind in KINDS
    ]
    models = [written(name, kind) for name, kind in sorted(networks.REGISTRY.items())]
    torchvisions = 'torchvision\'s: `{name: "torchvision:resnet18", weights, small_pictures, …}`'
    yours = 'or yours: `{name: "my_package.my_module:build", …}`'
    losses = {name: (type(loss).__doc__ or "").partition("\n")[0].rstrip(".") for name, loss in LOSSES.items()}
    classes = ", ".join(f"`{name}`" for name in sorted(optimizers.REGISTRY))
    others = '[any other](docs/settings.md#optimizers) of `torch.optim`, or yours: `"my_module:build"`'
    tasks = ", ".join(f"`{name}`" for name in params.load(ROOT / "params.yaml").tasks)
    return {
        "task": f"one of `tasks`: {tasks}",
        "dataset": "; ".join(data),
        "model": ", ".join([*models, torchvisions, yours]),
        "loss": "; ".join(f"`{name}`: {text[0].lower()}{text[1:]}" for name, text in losses.items()),
        "optimizers.<name>": f"`class` ({classes}, {others}) and its arguments",
    }


def written(name: str, kind: type[Settings]) -> str:
    """Return how a class is written in params.yaml: as its name, with the names of its settings if it has any."""
    settings = [key for key in kind.model_fields if key != "name"]
    return f"`{{name: {', '.join([name, *settings])}}}`" if settings else f"`{name}`"


def main() -> None:
    """Write the rows into the README."""
    lines = README.read_text(encoding="utf-8").splitlines()
    for key, cell in rows().items():
        (place,) = (number for number, line in enumerate(lines) if line.startswith(f"| `{key}` |"))
        lines[place] = f"| `{key}` | {cell} |"
    README.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
