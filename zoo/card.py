"""The model card: `README.md` of a checkpoint, written from its manifest alone."""

from zoo.manifest import Manifest, Metric


def card(m: Manifest) -> str:
    """The card as Markdown, with the metadata block that the Hub reads."""
    recipe, made = m.recipe, m.provenance
    started, repeat = "trained from scratch", f"zoo train {m.domain} --like REF --data FILE --out DIR"
    if made.parent:
        started, repeat = (
            f"fine-tuned from `{made.parent}`",
            f"zoo finetune {made.parent} --data FILE --out DIR",
        )
    lines = [
        "---",
        f"license: {m.licence.lower() if ' ' not in m.licence else 'other'}",
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
        f'model = zoo.load("{m.name}")  # or the folder or repository that this card came with',
        "```",
        "",
        "## Figures",
        "",
        *_figures(m.metrics),
        "",
        "## Training",
        "",
        f"- {m.parameters:,} parameters, {started} on {made.date}: step {made.steps} of {made.of}, "
        f"seed {made.seed}, diffusion-zoo {made.zoo}, torch {made.torch}.",
        "- Weights are an exponential moving average, chosen by the loss on held-out data.",
        *(f"- Data: {_linked(s.name, s.url)}, licence: {s.licence}." for s in made.sources),
        f"- Repeat: `{repeat}`" + ("." if made.parent else ", with this checkpoint as REF."),
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


def _linked(text: str, url: str) -> str:
    return f"[{text}]({url})" if url else text
