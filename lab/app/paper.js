// Text as a model writes it: a span for each token, coloured by how sure the model was, and beneath it the alternatives.

const HEADS = { probability: "probability", confidence: "confidence", passes: "passes" }
const FULL = 10 // bits of surprise at which the colour is full: one in a thousand
const papers = new WeakMap()

function element(name, className, text) {
  const made = document.createElement(name)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

const percent = (value) => (value >= 0.0995 ? `${Math.round(100 * value)} %` : value >= 0.001 ? `${(100 * value).toFixed(1)} %` : "< 0.1 %")
const shown = (piece) => piece.replaceAll(" ", "␣") || "∅"

class Paper {
  constructor(parent) {
    this.sheet = element("div", "sheet")
    this.sheet.tabIndex = 0
    this.sheet.setAttribute("role", "group")
    this.sheet.setAttribute("aria-label", "The text; arrow keys move from token to token")
    this.detail = element("div", "detail")
    this.detail.setAttribute("aria-live", "polite")
    this.key = element("div", "key")
    parent.append(this.sheet, this.key, this.detail)
    this.tokens = []
    this.locked = null
    this.sheet.addEventListener("mouseover", (event) => this.hover(event))
    this.sheet.addEventListener("mouseleave", () => this.tell(this.locked))
    this.sheet.addEventListener("click", (event) => this.lock(this.index(event.target)))
    this.sheet.addEventListener("keydown", (event) => this.move(event))
  }

  take(data) {
    if (data.number !== this.number) {
      this.number = data.number
      this.tokens = []
      this.coloured = 0
      this.locked = null
      this.sheet.replaceChildren(element("span", "given", data.prompt))
      this.caret = element("span", "caret")
      this.sheet.append(this.caret)
    }
    for (const token of data.tokens.slice(this.tokens.length)) {
      const [text, piece] = token
      const span = element("span", text ? "token" : "token part", text ? "" : "·")
      // A line break has no width that could be pointed at.
      for (const [place, part] of text.split("\n").entries()) {
        if (place) span.append(element("span", "break", "⏎"), "\n")
        span.append(part)
      }
      span.dataset.index = this.tokens.length
      this.tokens.push(token)
      this.sheet.insertBefore(span, this.caret)
    }
    this.caret.hidden = !data.live
    this.colour(data.colour, data.passes)
    this.live = data.live
    this.sheet.dataset.number = data.number
    this.sheet.dataset.live = data.live
    this.tell(this.locked)
  }

  // How doubtful a token was, from 0 to 1.
  doubt(token) {
    if (this.by === "confidence") return 1 - (token[5] ?? 1)
    if (this.by === "passes") return this.most > 1 ? ((token[6] ?? 1) - 1) / (this.most - 1) : 0
    // By bits: between one in a hundred and one in ten there is more to see than between nine and ten in ten.
    return Math.min(1, -Math.log2(Math.max(token[2], 1e-9)) / FULL)
  }

  colour(by, most) {
    const fresh = by !== this.by || most !== this.most
    this.by = by
    this.most = most
    const spans = this.sheet.querySelectorAll(".token")
    for (let place = fresh ? 0 : (this.coloured ?? 0); place < spans.length; place++) {
      spans[place].style.setProperty("--doubt", `${Math.round(60 * this.doubt(this.tokens[place]))}%`)
    }
    this.coloured = spans.length
    const ends = { probability: ["100 %", "0.1 %"], confidence: ["1", "0"], passes: ["1", String(most)] }[by]
    this.key.replaceChildren(element("span", "", `${HEADS[by]}: ${ends[0]}`), element("span", "ramp"), element("span", "", ends[1]))
  }

  index(target) {
    const found = target.closest?.(".token")
    return found ? Number(found.dataset.index) : null
  }

  hover(event) {
    const place = this.index(event.target)
    if (place !== null) this.tell(place)
  }

  lock(place) {
    this.locked = place === this.locked ? null : place
    this.tell(this.locked)
  }

  move(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key]
    if (event.key === "Escape") this.lock(this.locked)
    if (by === undefined || !this.tokens.length) return
    event.preventDefault()
    const place = (this.locked ?? -1) + by
    this.locked = Math.min(Math.max(place, 0), this.tokens.length - 1)
    this.tell(this.locked)
    this.sheet.querySelector(".chosen")?.scrollIntoView({ block: "nearest" })
  }

  // What is told of while nothing is pointed at: the newest token, and in the end the most surprising one.
  resting() {
    if (this.live) return this.tokens.length - 1
    return this.tokens.reduce((best, token, place) => (token[2] < this.tokens[best][2] ? place : best), 0)
  }

  tell(chosen) {
    this.sheet.querySelector(".chosen")?.classList.remove("chosen")
    const place = chosen ?? this.resting()
    const token = this.tokens[place]
    if (!token) {
      this.detail.replaceChildren(element("p", "hint", "Point at a token, or walk with the arrow keys, to see what else it could have been."))
      return
    }
    if (chosen === null && !this.live) this.hint = "the most surprising token; point at another, or walk with the arrow keys"
    else this.hint = ""
    if (chosen !== null || !this.live) this.sheet.querySelectorAll(".token")[place]?.classList.add("chosen")
    const [, piece, probability, rank, likeliest, confidence, passes, experts] = token
    const rows = element("div", "bars")
    const listed = likeliest.some(([other]) => other === piece) ? likeliest : [...likeliest, [piece, probability]]
    for (const [other, chance] of listed) {
      const row = element("div", other === piece ? "bar own" : "bar")
      const fill = element("span", "fill")
      fill.style.width = `${100 * chance}%`
      const track = element("span", "track")
      track.append(fill)
      row.append(element("code", "", shown(other)), track, element("span", "chance", percent(chance)))
      rows.append(row)
    }
    const words = [`token ${place + 1}`, `probability ${percent(probability)}`, rank === 1 ? "the likeliest" : `number ${rank} of the likeliest`]
    if (passes !== null) words.push(passes === 1 ? "1 pass" : `${passes} passes`)
    if (confidence !== null) words.push(`confidence ${confidence.toFixed(2)}`)
    const line = element("p", "line")
    line.append(element("code", "", shown(piece)), element("span", "", words.join(" · ")))
    if (this.hint) line.append(element("span", "hint", this.hint))
    this.detail.replaceChildren(line, rows)
    if (!experts.length) return
    const routed = element("p", "experts")
    routed.append(element("span", "", "Experts at work:"), ...experts.map((words) => element("code", "", words)))
    this.detail.append(routed)
  }
}

export default function ({ parentElement, data }) {
  if (!papers.has(parentElement)) papers.set(parentElement, new Paper(parentElement))
  papers.get(parentElement).take(JSON.parse(data))
}
