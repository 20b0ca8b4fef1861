"""Training methods: which numbers of a model a fine-tuning changes. Each is one class.

Every weight is trained, or adapters of low rank in their place, by PEFT.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from biasloop.config import TrainingConfig
from biasloop.device import make_deterministic
from biasloop.errors import InputError, registered
from biasloop.files import write_json
from biasloop.models.adapters import CONFIG, Adapter, merge
from biasloop.models.load import load_model, refuse_lost_weights, save_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_KEY = "training.lora.target_modules"


@dataclass(frozen=True)
class Full:
    """Train every weight; what other methods do differently, they override."""

    config: TrainingConfig

    @property
    def identity(self) -> dict[str, Any]:
        """Settings of its own that decide the result."""
        return {}

    def require(self) -> None:
        """Raise an `InputError` where something that it needs is not installed."""

    def begin(self, model: PreTrainedModel, seed: int) -> Any:  # noqa: ANN401
        """Return what to train, of a model that is changed in place; ``seed`` is of new weights."""
        return model

    def end(self, trained: Any, kept: Path | None = None) -> None:  # noqa: ANN401
        """Leave the model whole, in place; put what belongs beside it into the folder ``kept``.

        Raises
        ------
        InputError
            If the training has diverged: weights are not finite.
        """
        advice = "the training has diverged. Lower training.learning_rate"
        refuse_lost_weights("training", trained, advice)

    def gather(self, start: Path, out: Path, kept: Path | None = None) -> None:
        """Make what several processes saved in the folder ``out`` a whole model, in its place.

        ``start`` is the folder of the model that they started from; ``kept`` as for `end`.
        """

    def trainable(self, model: PreTrainedModel) -> int:
        """Count the numbers that are trained."""
        return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True)
class Lora(Full):
    """Train adapters (Hu et al. 2021, arXiv 2106.09685), and merge them into the weights."""

    @property
    def identity(self) -> dict[str, Any]:
        """The adapters' settings."""
        return self.config.lora.model_dump(mode="json")

    def require(self) -> None:
        """Refuse to go on without PEFT."""
        if find_spec("peft") is None:
            raise InputError(
                "training.method: lora needs PEFT, which is not installed: pip install "
                "'biasloop[peft]', or take training.method: full"
            )

    def begin(self, model: PreTrainedModel, seed: int) -> Any:  # noqa: ANN401 - a PeftModel
        """Give a model adapters, in place, that change nothing yet; only they have gradients.

        Raises
        ------
        InputError
            If the model has no such modules, or one of them is tied to another weight, which an
            adapter would not change with it.
        """
        self.require()
        import peft
        from peft.tuners.tuners_utils import BaseTunerLayer

        own, named = self.config.lora, self.config.lora.target_modules
        modules = {"auto": None, "all-linear": "all-linear"}
        settings = peft.LoraConfig(
            task_type=peft.TaskType.CAUSAL_LM,
            r=own.rank,
            lora_alpha=own.alpha,  # ty: ignore[invalid-argument-type] - any number
            lora_dropout=own.dropout,
            target_modules=modules[named] if isinstance(named, str) else list(named),
        )
        make_deterministic(seed)
        # Else saving names a folder of this machine, or looks for the model on the hub.
        vars(model).pop("name_or_path", None)
        try:
            with warnings.catch_warnings():  # GPT-2's layers are transposed: PEFT says so
                warnings.simplefilter("ignore")
                adapted = peft.get_peft_model(model, settings)
        except ValueError as error:
            reason = (str(error).strip().splitlines() or [""])[0][:300]
            raise InputError(
                f"{_KEY}: {reason}; 'all-linear' adapts every linear layer of any model"
            ) from error
        tuner: Any = adapted.base_model
        for name in () if isinstance(named, str) else named:
            if not any(f".{module}".endswith(f".{name}") for module in tuner.targeted_module_names):
                raise InputError(
                    f"{_KEY}: the model has no module '{name}'; 'all-linear' adapts "
                    "every linear layer of any model"
                )
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        tied = getattr(model.config, "tie_word_embeddings", False)
        if tied and any(isinstance(end, BaseTunerLayer) for end in ends):
            raise InputError(
                f"{_KEY}: names one of two tied weights (the output layer and the embeddings), "
                "and merging would change both: leave it out, or take 'all-linear'"
            )
        return adapted

    def end(self, trained: Any, kept: Path | None = None) -> None:  # noqa: ANN401 - a PeftModel
        """Write the adapters if they are kept, and merge them into weights that must be finite."""
        if kept:
            trained.save_pretrained(kept, save_embedding_layers=False)
            _tidy(kept)
        try:
            trained.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise InputError(
                f"training.method: lora: the adapters cannot be merged ({error}); the training "
                "has diverged. Lower training.learning_rate"
            ) from error

    def gather(self, start: Path, out: Path, kept: Path | None = None) -> None:
        """Merge the adapters that were saved into the model that they were trained on."""
        with TemporaryDirectory(dir=out.parent) as place:
            saved = out.rename(Path(place) / "adapter")
            _tidy(saved)
            whole = load_model(str(start), precision="float32", place=False)
            merged = merge(whole.model, Adapter(saved, "LORA", str(start)))
            save_model(replace(whole, model=merged), out)
            if kept:
                shutil.move(saved, kept)

    def trainable(self, model: PreTrainedModel) -> int:
        """Count the adapters' numbers, without making them."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            adapted = self.begin(AutoModelForCausalLM.from_config(model.config), 0)
        return sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def _tidy(folder: Path) -> None:
    """Leave an adapter's weights and settings, the same bytes each time, and no path of here."""
    for file in folder.iterdir():
        if not file.name.startswith("adapter_"):
            file.unlink()
    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = None
    if isinstance(settings["target_modules"], list):  # a set, which has no order
        settings["target_modules"].sort()
    write_json(folder / CONFIG, settings)


#: By what ``training.method`` calls them.
METHODS = {"full": Full, "lora": Lora}


def method_of(config: TrainingConfig) -> Full:
    """Return the method that a config asks for."""
    return registered(METHODS, config.method, "METHODS of stages/methods.py")(config)
