"""The strawberry: an icon and a word, drawn here so that no font and no network is needed for them."""

FRUIT = (
    '<path d="M16 30C8 25 3 18 4 11c1-4 6-4 12-4s11 0 12 4c1 7-4 14-12 19z" fill="#c92a4b"/>'
    '<path d="M16 8c-3 2-7 2-10-1 3-2 5-2 7-1-1-2 0-4 3-5 3 1 4 3 3 5 2-1 4-1 7 1-3 3-7 3-10 1z" fill="#2f8f4e"/>'
    '<g fill="#ffd9a8"><ellipse cx="10" cy="14" rx="1" ry="1.5"/><ellipse cx="16" cy="13" rx="1" ry="1.5"/>'
    '<ellipse cx="22" cy="14" rx="1" ry="1.5"/><ellipse cx="13" cy="19" rx="1" ry="1.5"/>'
    '<ellipse cx="19" cy="19" rx="1" ry="1.5"/><ellipse cx="16" cy="24" rx="1" ry="1.5"/></g>'
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="64" height="64">{FRUIT}</svg>'


def logo(theme: str) -> str:
    """The icon with the name beside it, in the text colour of "light" or "dark"."""
    ink = "#e8eaed" if theme == "dark" else "#1f2328"
    font = "'Source Sans', 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
    # A set length, since without the page's font another one would run out of the picture.
    fit = 'font-size="19" font-weight="600" textLength="138" lengthAdjust="spacingAndGlyphs"'
    word = f'<text x="42" y="23" font-family="{font}" {fit} fill="{ink}">Strawberry Lab</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 32" width="200" height="32">{FRUIT}{word}</svg>'
