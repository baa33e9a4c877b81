"""The networks. Each network is a class in a module of this package.

Importing this package also imports the modules with the networks, so each class registers itself. A new network needs a
class in a module of this package, an entry in params.yaml, and a test.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

from pydantic import PlainValidator, SerializeAsAny

from pipeline.networks.base import REGISTRY, Model
from pipeline.networks.torchvision_model import TorchvisionModel
from pipeline.networks.user_model import UserModel
from pipeline.settings import validated_by_name
from pipeline.user_code import BUILDER, TORCHVISION, is_builder

__all__ = ["REGISTRY", "AnyModel", "Model", "TorchvisionModel", "UserModel"]

NEED_TORCH = {"modules", "weights"}
for _module in iter_modules(__path__):
    if _module.name not in NEED_TORCH:
        import_module(f"{__name__}.{_module.name}")


def _validated(given: Any) -> Model:
    if isinstance(given, Model):
        return given
    name = given.get("name") if isinstance(given, dict) else given
    if isinstance(name, str) and ":" in name:
        kind = UserModel if is_builder(name) else TorchvisionModel
        return kind.model_validate(given if isinstance(given, dict) else {"name": name})
    others: dict[str, type[Model]] = {BUILDER: UserModel, f"{TORCHVISION}resnet18": TorchvisionModel}
    return validated_by_name(given, REGISTRY | others)


AnyModel = Annotated[SerializeAsAny[Model], PlainValidator(_validated)]
"""A network in params.yaml: either just a name, or a mapping with `name` and the settings."""
