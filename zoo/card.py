"""The model card: `README.md` of a checkpoint, written from its manifest alone."""

import json

from zoo.manifest import Manifest, Metric, Provenance

# As the Hub writes them; others are "other", with a name.
HUB_LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "mpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "unlicense", "openrail"),
)


def card(m: Manifest, ref: str) -> str:
    """The card as Markdown, with the metadata block that the Hub reads.

    Args:
        m: the manifest; its file table is not needed.
        ref: how the model is loaded.
    """
    recipe, made = m.recipe, m.provenance
    started = f"fine-tuned from `{made.parent}`" if made.parent else "trained from scratch"
    snippet, of = f'zoo.load("{ref}")', ""
    if m.lora is not None:
        base = m.lora.base
        of = f" of an adapter (LoRA, rank {m.lora.rank}) of {f'`{base}`' if base else 'another model'}"
        if "/" in base:
            snippet = f'zoo.load("{ref}", base="{base}")'
        elif not base:
            snippet = f'zoo.load("{ref}", base=...)  # the model that it was trained on'
    lines = [
        "---",
        *_licence(m.licence),
        "library_name: diffusion-zoo",
        f"tags: [diffusion, {m.domain}]",
        "---",
        f"# {m.name}",
        "",
        recipe.get("summary") or f"A diffusion model for the domain `{m.domain}`.",
        "",
        "```python",
        "import zoo",
        "",
        f"model = {snippet}",
        "```",
        "",
        "## Figures",
        "",
        *_figures(m.metrics),
        "",
        "## Training",
        "",
        f"- {m.parameters:,} parameters{of}, {started} on {made.date}: step {made.steps} of {made.of}, "
        f"seed {made.seed}, diffusion-zoo {made.zoo}, torch {made.torch}.",
        f"- Weights are an exponential moving average, {_kept(m)}.",
        *(f"- Data: {_linked(s.name, s.url)}, licence: {s.licence}." for s in made.sources),
        _repeat(m),
        *_by_level(made),
        "",
        "## Use and limits",
        "",
        recipe.get("limits")
        or "No limits have been written down: measure on your own data before you rely on it.",
        "",
        f"Licence of the weights: {m.licence}.",
        "",
    ]
    return "\n".join(lines)


def _licence(licence: str) -> list[str]:
    if licence.lower() in HUB_LICENCES:
        return [f"license: {licence.lower()}"]
    return ["license: other", f"license_name: {json.dumps(licence or 'not stated')}"]


def _figures(metrics: tuple[Metric, ...]) -> list[str]:
    if not metrics:
        return ["None measured yet: see `zoo evaluate`."]
    rows = [
        f"| {metric.name} | {metric.value:.4g} | "
        + ("" if metric.baseline is None else f"{metric.baseline:.4g} ({metric.baseline_name})")
        + f" | {'lower' if metric.lower_is_better else 'higher'} |"
        for metric in metrics
    ]
    return ["| measure | this model | baseline | better |", "|---|---|---|---|", *rows]


def _kept(m: Manifest) -> str:
    settings = m.recipe.get("finetuning" if m.provenance.parent else "training", {})
    return "of the last step" if settings.get("keep") == "last" else "chosen by the loss on held-out data"


def _repeat(m: Manifest) -> str:
    made, domain = m.provenance, m.domain
    if made.parent:
        how = ["--method onestep"] if m.recipe.get("sampling", {}).get("sampler") == "consistency" else []
        how += ["--data YOUR_FILE"] if made.data_given else []
        return f"- Repeat: `zoo finetune {' '.join([made.parent, *how])} --out DIR`."
    if made.data_given:
        return (
            f"- Repeat: `zoo train {domain} --like REF --data YOUR_FILE --out DIR`; REF is this checkpoint."
        )
    return (
        f"- Repeat: `zoo train {domain} --like REF --out DIR`; REF is this checkpoint. "
        "The data are the recipe's own: the domain's documentation says where they must lie."
    )


def _by_level(made: Provenance) -> list[str]:
    """Where the model is weak: t = 0 is data, t = 1 is noise."""
    if not made.loss_by_level:
        return []
    levels, losses = zip(*made.loss_by_level, strict=True)
    return [
        "",
        "| validation loss by noise level | " + " | ".join(f"t = {t:g}" for t in levels) + " |",
        "|---" * (len(levels) + 1) + "|",
        "| (t = 0: data, t = 1: noise) | " + " | ".join(f"{loss:.4g}" for loss in losses) + " |",
    ]


def _linked(text: str, url: str) -> str:
    return f"[{text}]({url})" if url else text
