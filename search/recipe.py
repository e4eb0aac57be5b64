"""The recipe of a search: the tuned defaults, then what a file says, then single options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from space.files import read_toml
from space.rules import check_fields, check_keys, integer, number, one_of, optional, show
from trainers.recipe import AUGMENTS, Recipe

if TYPE_CHECKING:
    from trainers import Dataset

OFF = "none"  # in a file, where TOML has no null


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions:
    """What was asked of the recipe. `recipe`: a whole one from a program, or a TOML file of some
    of its fields. `None`: as the tuned defaults. Raises ValueError."""

    recipe: Recipe | str | Path | None = None
    lr: Annotated[float | None, optional(number(above=0.0, below=10.0))] = None
    batch_size: Annotated[int | None, optional(integer(1))] = None
    augment: Annotated[str | None, optional(one_of(*AUGMENTS))] = None

    def __post_init__(self) -> None:
        check_fields(self, option=True, fix="choose one of these")

    @classmethod
    def taken_from(cls, asked: Mapping[str, Any]) -> tuple[RecipeOptions, dict[str, Any]]:
        """These options of all that is `asked`, and the rest. Raises ValueError if the epochs are
        said twice."""
        names = {field.name for field in dataclasses.fields(cls)}
        options = cls(**{name: value for name, value in asked.items() if name in names})
        options._refuse_twice(asked)
        return options, {name: value for name, value in asked.items() if name not in names}

    def fields(self) -> dict[str, Any]:
        """The fields of `Recipe` that a file or single options say. Raises ValueError."""
        known = _read(self.recipe) if isinstance(self.recipe, str | Path) else {}
        single = {
            "learning_rate": self.lr,
            "batch_size": self.batch_size,
            "augment": self.augment,
        }
        fields = known | {name: value for name, value in single.items() if value is not None}
        return {k: v for k, v in fields.items() if (k, v) != ("augment", "auto")}

    def recipe_for(
        self, dataset: Dataset, *, epochs: int | None, proxy: str, from_donor: bool
    ) -> Recipe:
        """The recipe for these images; of networks that begin from a donor, `from_donor`."""
        if isinstance(self.recipe, Recipe):
            return self.recipe
        fields = self.fields()
        recipe = Recipe.for_dataset(
            dataset, epochs=epochs, proxy=proxy, batch_size=fields.get("batch_size")
        )
        recipe = recipe.for_donor() if from_donor else recipe
        return dataclasses.replace(recipe, **fields)

    def _refuse_twice(self, asked: Mapping[str, Any]) -> None:
        """Raises ValueError on what the recipe says already; of a mistake in the file, too."""
        fields = self.fields()
        said = ["epochs", "proxy"] if isinstance(self.recipe, Recipe) or "epochs" in fields else []
        if isinstance(self.recipe, Recipe):
            said += ["lr", "batch_size", "augment"]
        for name in said:
            value = asked.get(name)
            if value is not None and (name, value) != ("proxy", "faithful"):
                raise ValueError(
                    f"`{name}` (={show(value)}) must not be given beside `recipe`, which says it "
                    "already: leave it out, or change the recipe."
                )


def _read(file: str | Path) -> dict[str, Any]:
    """The fields that a TOML file gives a recipe. Raises ValueError naming file and field."""
    try:
        fields = read_toml(file)
        check_keys("recipe", fields, [field.name for field in dataclasses.fields(Recipe)])
        optional_fields = ("clip_grad", "learning_rate_size", "distillation_temperature")
        fields = {k: None if v == OFF and k in optional_fields else v for k, v in fields.items()}
        Recipe(**fields)
    except ValueError as error:  # also that the text is no TOML
        raise ValueError(f"`--recipe` (={str(file)!r}) cannot be used: {error}") from None
    return fields
