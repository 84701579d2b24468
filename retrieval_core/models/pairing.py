"""Plain weights of a backbone, whatever their tensors are called."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from retrieval_core.errors import CheckpointError
from retrieval_core.models.checkpoints import State, load_state
from retrieval_core.models.sized import SizedBackbone

_PREFIXES = ("", "features.", "module.", "network.")
_COUNTER = "num_batches_tracked"


def load_backbone(features: nn.Module, content: Mapping[str, Any], source: str) -> None:
    """Copy ImageNet weights into a backbone.

    Tensors are paired by name or, where names differ, by order if every shape agrees; what the
    file holds behind the backbone's last tensor (later blocks, the classifier) is left out. Of
    transformers, positions learned at another image size are fitted; timm also converts tensors of
    a network's authors.

    Args:
        features: the backbone.
        content: of the file, tensors by name, as they are or below "state_dict" or "model".
        source: of the tensors, for the message.

    Raises:
        CheckpointError: the tensors do not fit; lists what is missing or of another shape.
    """
    inner = content.get("state_dict", content.get("model", content))
    items = inner.items() if isinstance(inner, Mapping) else ()
    tensors = {k: v for k, v in items if isinstance(v, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source} holds no tensors; its keys are {list(content)[:8]}")
    own = _weights(features.state_dict())
    paired = _by_name(own, tensors) or _by_order(own, tensors)
    if paired is None and isinstance(features, SizedBackbone):
        paired = _by_name(own, features.own_form(tensors))
    load_state(features, paired or tensors, source)


def _weights(state: Mapping[str, Tensor]) -> State:
    """Without batch-norm's step counters, which old files lack."""
    return {k: v for k, v in state.items() if not k.endswith(_COUNTER)}


def _by_name(own: State, tensors: State) -> State | None:
    for ours in _PREFIXES:
        for theirs in _PREFIXES:
            names = {k: theirs + k.removeprefix(ours) for k in own}
            if all(n in tensors and tensors[n].shape == own[k].shape for k, n in names.items()):
                return {k: tensors[n] for k, n in names.items()}
    return None


def _by_order(own: State, tensors: State) -> State | None:
    given = list(_weights(tensors).values())[: len(own)]
    if [v.shape for v in given] != [v.shape for v in own.values()]:
        return None
    return dict(zip(own, given, strict=True))
