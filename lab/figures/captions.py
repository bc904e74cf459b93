"""What each figure shows, how it is read, what would be surprising, and which notebook teaches it."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "loss_curve": (
        "**How surprised the model is by the next token**, while it learns: the lower, the better. *Surprising would "
        "be:* training falls while validation rises; then the model learns its text by heart.",
        "01_first_bite",
    ),
    "filmstrip": (
        "**Each panel is a weight matrix**: rows are outputs, columns inputs, blue is negative, red positive, measured "
        "in the panel's own size (its RMS). From left to right: where it begins, then after each rewriting. "
        "*Surprising would be:* wC panels that look alike, or stripes that take over.",
        "02_retention_by_hand",
    ),
    "weight_change": (
        "**How far the weights move**: size, distance from the base, and direction (cosine 1: the same, 0: unrelated). "
        "*Surprising would be:* a cosine to the base near 1, for then the rewriting does little.",
        "02_retention_by_hand",
    ),
    "spectrum": (
        "**How many directions carry the matrix.** A line that falls off early means low rank. *Surprising would be:* "
        "an effective rank that collapses over the passes.",
        "02_retention_by_hand",
    ),
    "input_share": (
        "**How much of wC the text decided.** Left: how far from the weights without any text; right: how far the "
        "text's own parts lie from one another. *Surprising would be:* a large left and a right near 0: then whatever "
        "is read moves the weights in the same way.",
        "02_retention_by_hand",
    ),
    "weight_difference": (
        "**First minus second**: two states of the same weights and their difference, on one scale. *Surprising would "
        "be:* a strong difference between two states that should be near.",
        "02_retention_by_hand",
    ),
    "expert_heatmap": (
        "**One column per token, one row per expert**; the stronger, the more that expert counts, and blank is not "
        "chosen. *Surprising would be:* a row all full, or all blank.",
        "05_experts",
    ),
    "expert_load": (
        "**Who does how much**, pass by pass; the line is an even share. *Surprising would be:* a dead expert, whose "
        "bar is missing, or one that takes most.",
        "05_experts",
    ),
    "attention_map": (
        "**Row: the token that reads. Column: the token that is read.** Above the diagonal is the future, which stays "
        "blank. *Look for* a diagonal (reads itself), columns (a token that everybody reads), bands (windows).",
        "04_attention_aft_retention",
    ),
    "map_pair": (
        "**Two layers' maps over the same text.** The divergence says how unlike their rows are. *Surprising would "
        "be:* two mixers of different kinds with the same map.",
        "04_attention_aft_retention",
    ),
    "map_grid": (
        "**All heads, or 16 channels, in miniature**, on one scale. *Surprising would be:* all alike, for then one "
        "would do.",
        "04_attention_aft_retention",
    ),
    "map_profile": (
        "**How widely and how far each token reads**, beside an even reading of everything (dashed). *Surprising would "
        "be:* a curve on the dashed line: then the map says nothing about the text.",
        "04_attention_aft_retention",
    ),
    "lens": (
        "**What the model would say if it stopped after each pass**, token by token. *Surprising would be:* a pass "
        "that changes nothing, or that makes things worse.",
        "06_recursion_and_confidence",
    ),
    "lens_curve": (
        "**Loss and entropy after each pass**, on this text. *Surprising would be:* a loss that rises before the last "
        "pass that was trained.",
        "06_recursion_and_confidence",
    ),
    "exit_depth": (
        "**How many passes each token takes.** *Surprising would be:* the same depth for all, or a depth that has "
        "nothing to do with the loss.",
        "06_recursion_and_confidence",
    ),
    "reliability": (
        "**What a confidence claims, beside what comes true**; on the diagonal it is exactly as sure as it should be. "
        "*Surprising would be:* a line far below it, which is a model that flatters itself.",
        "06_recursion_and_confidence",
    ),
    "leak_map": (
        "**Which earlier outputs move when later tokens change.** Left of the diagonal all must stay blank. "
        "*Surprising would be:* any colour in a model that is called causal.",
        "03_why_the_published_form_cheats",
    ),
    "gradient_map": (
        "**Which earlier outputs autograd says depend on a later token.** It is blind to choices, and sees what is too "
        "faint to move anything. *Surprising would be:* a map unlike the one above.",
        "03_why_the_published_form_cheats",
    ),
    "row_check": (
        "**Does another row of the batch matter?** All must stay blank. *Surprising would be:* any colour in a model "
        "whose rows are said to be strangers.",
        "03_why_the_published_form_cheats",
    ),
    "effect_tokens": (
        "**The text, each token coloured by what a change inside the model did to its own prediction**: red costs more "
        "than before, blue less. *Surprising would be:* a change that helps, or one that harms a single kind of token.",
        "02_retention_by_hand",
    ),
    "effect_distribution": (
        "**What the model expects next**, as it is and altered; ✓ is what follows in the text. *Surprising would be:* "
        "a new favourite that fits as well as the old one.",
        "02_retention_by_hand",
    ),
    "effect_map": (
        "**Who reads whom, as it is and altered**, and the difference: red reads more than before, blue less. "
        "*Surprising would be:* a strong change before the place that was altered.",
        "04_attention_aft_retention",
    ),
    "influence": (
        "**Which tokens moved one prediction**: by what was read, by the gradient, and by blanking each of them. "
        "*Surprising would be:* a token that is read much and whose removal changes nothing.",
        "04_attention_aft_retention",
    ),
}


def caption(name: str) -> tuple[str, str]:
    """The sentences about a figure and the notebook that teaches it; both empty for one that is not known here."""
    return CAPTIONS.get(name, ("", ""))
