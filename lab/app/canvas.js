// Draws one figure into its place, and new numbers into the same figure; only while a person can see it.
// A click, or the keyboard, locks the label of one point: it stays, with the point's new value, while others scrub on.

const ICONS = {
  expand: {
    width: 448,
    height: 512,
    path: "M32 32C14.3 32 0 46.3 0 64v96c0 17.7 14.3 32 32 32s32-14.3 32-32V96h64c17.7 0 32-14.3 32-32s-14.3-32-32-32H32zM64 352c0-17.7-14.3-32-32-32s-32 14.3-32 32v96c0 17.7 14.3 32 32 32h96c17.7 0 32-14.3 32-32s-14.3-32-32-32H64V352zM320 32c-17.7 0-32 14.3-32 32s14.3 32 32 32h64v64c0 17.7 14.3 32 32 32s32-14.3 32-32V64c0-17.7-14.3-32-32-32H320zM448 352c0-17.7-14.3-32-32-32s-32 14.3-32 32v64H320c-17.7 0-32 14.3-32 32s14.3 32 32 32h96c17.7 0 32-14.3 32-32V352z",
  },
}
const NEXT = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const PANEL = { PageUp: -1, PageDown: 1 }
const SVG = "http://www.w3.org/2000/svg"
const SLIM = 560 // pixels; a figure that has a form for narrower places takes it there
const HOVER = 70 // milliseconds; plotly draws a label no sooner than 50 after the last one
const places = new WeakMap()

// plotly.js is large: one load for all figures.
function library(address) {
  window.strawberryPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = address
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => {
      window.strawberryPlotly = undefined
      reject(new Error("plotly.js could not be loaded"))
    }
    document.head.append(script)
  })
  return window.strawberryPlotly
}

function unpacked(data) {
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"))).json()
}

class Place {
  constructor(parent) {
    this.box = document.createElement("div")
    this.box.className = "strawberry-canvas"
    this.box.style.width = "100%"
    this.box.tabIndex = 0
    this.box.setAttribute("role", "figure")
    this.said = document.createElement("div")
    this.said.className = "strawberry-said"
    this.said.setAttribute("aria-live", "polite")
    parent.append(this.box, this.said)
    this.drawing = null // what is to be drawn; null once it is
    this.told = null // what was told last, while it has two forms
    this.slim = false // which of them is drawn
    this.locked = null // the point whose label stays: its trace, and its place in that
    this.seen = false
    this.watch = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting
      this.draw()
    }, { rootMargin: "150px" })
    this.watch.observe(this.box)
    this.fit = new ResizeObserver(() => this.resize())
    this.fit.observe(this.box)
    this.expanded = () => this.resize()
    document.addEventListener("fullscreenchange", this.expanded)
    this.box.addEventListener("keydown", (event) => this.walk(event))
  }

  async take(data, pick) {
    this.pick = pick
    this.newest = data
    const drawing = await unpacked(data)
    if (this.newest !== data || !this.box.isConnected) return
    this.told = drawing.slim ? drawing : null
    this.choose(drawing)
    const how = "click locks a label, arrow keys walk from point to point, Page Up and Down from panel to panel"
    this.box.setAttribute("aria-label", drawing.alt)
    this.box.setAttribute("aria-description", how)
    this.draw()
  }

  // A figure with two forms takes the one that fits, a copy of it, for plotly changes what it draws.
  choose(drawing) {
    this.slim = Boolean(drawing.slim) && this.narrow()
    const figure = drawing.slim ? structuredClone(this.slim ? drawing.slim : drawing.figure) : drawing.figure
    this.drawing = { ...drawing, figure }
    this.heading = new Heading(figure.layout)
    this.stand(this.heading.fit(this.box.clientWidth).height)
  }

  narrow() {
    return this.box.clientWidth > 0 && this.box.clientWidth < SLIM
  }

  async draw() {
    if (!this.seen || this.drawing === null) return
    const { figure, config, plotly, note, picks } = this.drawing
    this.drawing = null
    this.note = note
    this.picks = picks
    try {
      const Plotly = await library(plotly)
      if (!this.box.isConnected) return
      delete figure.layout.width
      for (const [name, value] of Object.entries(this.heading.fit(this.box.clientWidth))) set(figure.layout, name, value)
      this.stand(figure.layout.height)
      const buttons = [
        { name: "svg", title: "Save the picture (SVG)", icon: Plotly.Icons.camera, click: () => this.save("svg") },
        { name: "png", title: "Save the picture (PNG)", icon: Plotly.Icons.disk, click: () => this.save("png") },
        { name: "fullscreen", title: "Full screen", icon: ICONS.expand, click: () => this.expand() },
      ]
      const first = !this.box.data
      await Plotly.react(this.box, figure.data, figure.layout, { ...config, modeBarButtonsToAdd: buttons })
      this.width = this.box.clientWidth
      if (first) {
        this.box.on("plotly_click", (event) => this.click(event))
        this.box.on("plotly_relayout", () => this.show())
      }
      this.show()
    } catch (error) {
      this.box.textContent = `This figure could not be drawn: ${error.message}.`
    }
  }

  stand(height) {
    this.height = height
    if (document.fullscreenElement !== this.box) this.box.style.height = `${height}px`
  }

  click({ points: [point] }) {
    const at = { curve: point.curveNumber, place: point.pointNumber ?? point.pointIndex }
    const again = this.locked?.curve === at.curve && String(this.locked.place) === String(at.place)
    this.locked = again ? null : at
    this.show()
    const meta = this.box.data[point.curveNumber].meta
    if (this.picks && meta !== undefined) this.pick(meta)
  }

  // The arrow keys in a picture of cells go the way they point, wherever its origin is.
  walk(event) {
    if (event.key === "Escape" && this.locked) {
      this.locked = null
      this.show()
      return
    }
    const [move, panel] = [NEXT[event.key], PANEL[event.key]]
    if (!this.box.calcdata || !(move || panel) || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    const walkable = this.box._fullData.flatMap(({ hoverinfo, visible }, n) => (visible === true && hoverinfo !== "skip" ? [n] : []))
    if (!walkable.length) return
    if (!this.locked || !walkable.includes(this.locked.curve)) this.locked = { curve: walkable[0], place: this.within(walkable[0], 0, 0) }
    else if (panel) {
      const curve = walkable[(walkable.indexOf(this.locked.curve) + panel + walkable.length) % walkable.length]
      this.locked = { curve, place: this.within(curve, ...[this.locked.place].flat()) }
    } else {
      const { curve, place } = this.locked
      const up = this.axis(curve, "y").range
      const down = up[0] > up[1] ? 1 : -1
      this.locked = {
        curve,
        place: Array.isArray(place) ? this.within(curve, place[0] + down * move[0], place[1] + move[1]) : this.within(curve, place + move[1] + move[0]),
      }
    }
    this.show()
  }

  axis(curve, letter) {
    const name = this.box._fullData[curve][`${letter}axis`]
    return this.box._fullLayout[`${letter}axis${name.slice(1)}`]
  }

  // The nearest place that a trace has: a row and a column of cells, or a number of a point.
  within(curve, row, column = row) {
    const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1)
    const [cells] = this.box.calcdata[curve]
    if (!cells.z?.length) return clamp(row, this.box.calcdata[curve].length)
    return [clamp(row, cells.z.length), clamp(column, cells.z[0].length)]
  }

  // How plotly names a place: a point by its number, a cell by the middle between its edges.
  where(curve, place) {
    if (!Array.isArray(place)) return { pointNumber: place }
    const [{ x, y }] = this.box.calcdata[curve]
    const [row, column] = place
    return { xval: (x[column] + x[column + 1]) / 2, yval: (y[row] + y[row + 1]) / 2 }
  }

  // Plotly takes its labels away when the pointer moves: the locked one is a copy that stays.
  async show() {
    this.box.querySelector(".strawberry-locked")?.remove()
    if (!this.locked || !this.box.calcdata?.[this.locked.curve]) {
      this.said.textContent = ""
      return
    }
    const { curve, place } = this.locked
    const { xaxis = "x", yaxis = "y" } = this.box._fullData[curve]
    window.Plotly.Fx.hover(this.box, [{ curveNumber: curve, ...this.where(curve, place) }], xaxis + yaxis)
    await new Promise((done) => setTimeout(done, HOVER))
    if (this.locked?.curve !== curve || this.locked.place !== place) return
    const labels = this.box.querySelectorAll(".hoverlayer .hovertext")
    this.box.querySelector(".strawberry-locked")?.remove()
    const copy = document.createElementNS(SVG, "g")
    copy.setAttribute("class", "strawberry-locked")
    copy.append(...[...labels].map((label) => label.cloneNode(true)))
    this.box.querySelector(".hoverlayer")?.after(copy)
    window.Plotly.Fx.unhover(this.box)
    this.said.textContent = labels.length ? [...labels].map(words).join("; ") : "nothing here"
  }

  async save(format) {
    const { about = "", code = "", stem = "figure" } = this.note
    const layout = structuredClone(this.box.layout)
    const line = layout.title?.subtitle?.text ?? ""
    if (about && !this.heading.tells(about)) {
      layout.title = { ...layout.title, subtitle: { ...layout.title?.subtitle, text: line ? `${about} · ${line}` : about } }
    }
    const size = { width: this.box.clientWidth, height: this.box.clientHeight, scale: format === "png" ? 2 : 1 }
    const address = await window.Plotly.toImage({ data: this.box.data, layout }, { format, ...size })
    const told = [about, code].filter(Boolean).join("\n\n")
    const picture = format === "svg" ? described(decodeURIComponent(address.slice(address.indexOf(",") + 1)), told) : annotated(await (await fetch(address)).arrayBuffer(), told)
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([picture], { type: format === "svg" ? "image/svg+xml" : "image/png" }))
    link.download = `${stem}.${format}`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  }

  expand() {
    if (document.fullscreenElement === this.box) document.exitFullscreen()
    else this.box.requestFullscreen()
  }

  resize() {
    if (this.told && this.slim !== this.narrow()) {
      this.choose(this.told)
      this.draw()
      return
    }
    if (!this.box.data) return
    const fitted = this.heading.fit(this.box.clientWidth)
    this.stand(fitted.height)
    const height = document.fullscreenElement === this.box ? window.innerHeight : this.height
    if (this.box.clientWidth === this.width && this.box.layout.height === height) return
    this.width = this.box.clientWidth
    window.Plotly.relayout(this.box, { ...fitted, height, width: null, autosize: true })
  }

  end() {
    this.watch.disconnect()
    this.fit.disconnect()
    document.removeEventListener("fullscreenchange", this.expanded)
    if (this.box.data) window.Plotly.purge(this.box)
    this.box.remove()
    this.said.remove()
  }
}

function set(layout, name, value) {
  const path = name.split(".")
  const last = path.pop()
  path.reduce((inner, key) => (inner[key] ??= {}), layout)[last] = value
}

// What a label says, line by line.
function words(label) {
  const lines = [...label.querySelectorAll("text")].flatMap((text) => {
    const parts = [...text.querySelectorAll("tspan.line")]
    return parts.length ? parts.map((part) => part.textContent) : [text.textContent]
  })
  return lines.filter((line) => line.trim()).join(", ")
}

function described(svg, told) {
  const safe = told.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
  return svg.replace(/<svg[^>]*>/, (start) => `${start}<desc>${safe}</desc>`)
}

// A text chunk (iTXt, https://www.w3.org/TR/png-3/#11iTXt) behind the header of a PNG, which takes its first 33 bytes.
function annotated(buffer, told) {
  const encode = (text) => new TextEncoder().encode(text)
  const body = new Uint8Array([...encode("iTXtDescription"), 0, 0, 0, 0, 0, ...encode(told)])
  const chunk = new DataView(new ArrayBuffer(body.length + 8))
  chunk.setUint32(0, body.length - 4)
  new Uint8Array(chunk.buffer).set(body, 4)
  let sum = 0xffffffff
  for (const byte of body) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  }
  chunk.setUint32(body.length + 4, (sum ^ 0xffffffff) >>> 0)
  return new Blob([buffer.slice(0, 33), chunk.buffer, buffer.slice(33)])
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!places.has(parentElement)) places.set(parentElement, new Place(parentElement))
  places.get(parentElement).take(data, (meta) => setTriggerValue("picked", meta))
  return () => {
    places.get(parentElement)?.end()
    places.delete(parentElement)
  }
}
