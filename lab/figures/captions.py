"""What each figure shows, how it is read, what would be surprising, and which notebook teaches it."""

CAPTIONS: dict[str, tuple[str, str]] = {
    "loss_curve": (
        "**How surprised the model is by the next token**, while it learns: the lower, the better. Tasks show their "
        "right answers too, and sources of known entropy a dashed line. *Surprising would be:* training falls while "
        "validation rises (the model learns its text by heart), or validation falls below the line (it cheats).",
        "01_first_bite",
    ),
    "filmstrip": (
        "**Each panel is a weight matrix**: rows are outputs, columns inputs, blue is negative, red positive, "
        "measured in the panel's own size (its RMS). From left to right: where it begins, then after each "
        "rewriting. *Surprising would be:* wC panels that look alike (the rewriting does nothing), or stripes that "
        "take over (a few inputs decide everything).",
        "02_retention_by_hand",
    ),
    "weight_change": (
        "**How far the weights move.** Size, distance from the base, and direction (cosine 1: the same, 0: "
        "unrelated). *Surprising would be:* a size that grows from pass to pass, or a cosine to the base near 1.",
        "02_retention_by_hand",
    ),
    "spectrum": (
        "**How many directions carry the matrix.** A line that falls off early means low rank. *Surprising would be:* "
        "an effective rank that collapses over the passes.",
        "02_retention_by_hand",
    ),
    "input_share": (
        "**How much of wC the text decided.** Left: how far reading moved the weights from those without any text "
        "(the prior's, as in chunk 0, or those of an empty memory). Right: how far the chunks' weights lie apart "
        "from one another. *Surprising would be:* a large left and a right near 0: then whatever is read moves the "
        "weights in the same way.",
        "02_retention_by_hand",
    ),
    "weight_difference": (
        "**First minus second**: two states of the same weights and their difference, on one scale. *Surprising would "
        "be:* a strong difference between two states that should be near.",
        "02_retention_by_hand",
    ),
    "expert_heatmap": (
        "**One column per token, one row per expert**; the stronger, the more that expert counts, and blank is not "
        "chosen. *Look for* an expert that takes a kind of word. *Surprising would be:* a row all full, or all "
        "blank.",
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
        "**Two maps over the same text.** Row: the token that reads. Column: the token that is read. Above the "
        "diagonal is the future, which stays blank; the divergence says how unlike their rows are. *Look for* a "
        "strong diagonal (reads itself), columns (a token that everybody reads), bands (windows). *Surprising would "
        "be:* anything above the diagonal, or two mixers of different kinds with the same map.",
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
        "**Does thinking longer help, on average over this text?** Filled marks are trained passes, open ones lie "
        "beyond. *Surprising would be:* a loss that goes on falling beyond the training, or that rises within it.",
        "06_recursion_and_confidence",
    ),
    "exit_depth": (
        "**A column is as high as the passes that its token takes**; colour: how sure the model was after each of "
        "them. *Look for* kinds of tokens that go deep. *Surprising would be:* all columns alike, or a depth that "
        "has nothing to do with the loss.",
        "06_recursion_and_confidence",
    ),
    "reliability": (
        "**Is the confidence what it claims?** Above the diagonal it is too modest, below it too sure; bars say how "
        "often it is that high. *Surprising would be:* a confidence far from the diagonal where the bars are tall.",
        "06_recursion_and_confidence",
    ),
    "rounded_weights": (
        "**How many weights are how large, and what each becomes where it multiplies**: blue −1, red +1, blank 0. "
        "*Surprising would be:* almost none of one kind, for then two levels would do; or rows all blank.",
        "07_yoco_and_bitnet",
    ),
    "leak_map": (
        "**What moved.** Each row changes the tokens from one place on; to the right of the diagonal outputs may "
        "move. *A leak:* colour to the left of it, where outputs come before the change. *Surprising would be:* any "
        "of it in a model that is called causal.",
        "03_why_the_published_form_cheats",
    ),
    "gradient_map": (
        "**What autograd says.** Each column is an output, each row a token that it may depend on. *A leak:* colour "
        "to the left of the diagonal. *Surprising would be:* a blank map where changed tokens moved outputs: then a "
        "choice leaks, and gradients do not pass through choices.",
        "03_why_the_published_form_cheats",
    ),
    "row_check": (
        "**The other rows of the batch.** This row's tokens stay; the others are replaced, then removed. *A leak:* "
        "any colour: then a text's outputs depend on which texts happen to be beside it. *Surprising would be:* a "
        "row that notices only whether others are there.",
        "03_why_the_published_form_cheats",
    ),
    "effect_tokens": (
        "**The text, each token coloured by what a change inside the model did to its own prediction**: red costs more "
        "than before, blue less. Of a task it is the answer that is asked for after the token; others stay blank. "
        "*Surprising would be:* a change that helps, or one that harms a single kind of token.",
        "02_retention_by_hand",
    ),
    "effect_distribution": (
        "**What the model expects next**, as it is and altered; ✓ is what follows in the text, or what a task asks "
        "for. *Surprising would be:* a new favourite that fits as well as the old one.",
        "02_retention_by_hand",
    ),
    "effect_map": (
        "**Who reads whom, as it is and altered**, and the difference: red reads more than before, blue less. "
        "*Surprising would be:* a strong change before the place that was altered.",
        "04_attention_aft_retention",
    ),
    "influence": (
        "**One bar per token up to the one that predicts.** Above: shares of what was read. Middle: how strongly "
        "the prediction hangs on each token. Below: red made it likelier, blue less likely. *Look for* tokens that "
        "all three name. *Surprising would be:* a token that is read much and whose removal changes nothing.",
        "04_attention_aft_retention",
    ),
    "loss_overlay": (
        "**Lower is better; a curve that falls sooner learns faster.** Along tokens it is the data that counts, "
        "along time this machine. *Surprising would be:* two seeds of one configuration far apart.",
        "01_first_bite",
    ),
    "state_growth": (
        "**The state**: all that the model keeps of the text so far, as it declares it. *Look for* a flat line: the "
        "next token costs the same however long the text; attention's keys and values grow (dashed). *Surprising "
        "would be:* a step in a line that is called constant.",
        "04_attention_aft_retention",
    ),
    "contrast_filmstrip": (
        "**A above B above A − B**, frame by frame: where the weights begin, then after each pass. *Look for* rows "
        "or columns that only one of them has. *Surprising would be:* two seeds whose wC look alike.",
        "02_retention_by_hand",
    ),
    "contrast_experts": (
        "**Which expert worked on which token, in A and in B.** Experts have no names that outlive a training: "
        "between two runs, E0 of one may be E2 of the other. Between two steps of one run they are the same. "
        "*Surprising would be:* nothing left in the difference of two distant steps.",
        "05_experts",
    ),
    "contrast_maps": (
        "**Row: the token that reads. Column: the token that is read.** Equal colours are equal weights in A and B; "
        "in the difference red is where A reads more, blue where B does. *Surprising would be:* anything above the "
        "diagonal.",
        "04_attention_aft_retention",
    ),
}


def caption(name: str) -> tuple[str, str]:
    """The sentences about a figure and the notebook that teaches it; both empty for one that is not known here."""
    return CAPTIONS.get(name, ("", ""))
