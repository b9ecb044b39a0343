"""The model that training starts from: the base model, or the one that the domain's registry points to."""

from __future__ import annotations

import json

from components.core.objects import is_object_uri
from components.core.registry import SEEN_IMAGES, DomainRegistry
from components.core.stage.errors import ConfigError
from components.preflight.config import Config


def starting_model(config: Config, promotion_section: str) -> tuple[str, str]:
    """Path of the model, and of the list of pictures that it has seen ("" where there is none).

    Args:
        config: settings of preflight.
        promotion_section: settings of promotion as JSON: they name registry and domain.

    Raises:
        ConfigError: `start_from: promoted` without settings of promotion, or with a registry that training cannot read.
    """
    if config.start_from == "base_model":
        return config.base_model, ""
    promotion = json.loads(promotion_section or "{}")
    root = promotion.get("registry", "")
    if not root:
        raise ConfigError("preflight.start_from: promoted needs promotion.registry")
    if is_object_uri(root):
        raise ConfigError(
            f"preflight.start_from: promoted needs a registry on a mounted volume, and {root} is an object store; fetch "
            "the model with `vlm-posttrain registry fetch` and name it as preflight.base_model"
        )
    registry = DomainRegistry(root, promotion.get("domain", "default"))
    current = registry.pointer().version
    if not current:
        return config.base_model, ""
    version = registry.version(current)
    listed = any(entry["name"] == SEEN_IMAGES for entry in version.manifest["files"])
    return f"{version.uri}/checkpoint", f"{version.uri}/{SEEN_IMAGES}" if listed else ""
