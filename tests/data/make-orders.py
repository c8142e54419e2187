#!/usr/bin/env python3
"""make-orders.py - writes orders.sql: 150 sentences of orders and invoices to train on and 50 held out,
with two types that the bundled model does not know, PRODUCT and AMOUNT. Names of people, organisations
and places occur in them without a label, as they do where only new types are annotated.

    python3 tests/data/make-orders.py >tests/data/orders.sql

The held-out sentences name other makers, and a third of their patterns occur in them alone."""
import json
import random

MAKERS = ("Falcon Marlin Heron Otter Lynx Raven Ibex Cobalt Zephyr Nimbus Orion Vertex".split(),
          "Kestrel Juniper Sable Onyx".split())
THINGS = ("Lamp|Desk|office chair|Shelf|cordless drill|Kettle|headset|laser printer|Monitor|standing desk|"
          "USB hub|toner|Router|label printer|paper shredder|Keyboard").split("|")
MODELS = ("X2", "3000", "Pro", "Mini", "S", "200", "Mk II", "XL", "", "", "")
PEOPLE = "Anna Schmidt|John Miller|Maria Rossi|Peter Novak|Chen Wei|Fatima Khan|Mr Olsen|Ms Dubois".split("|")
FIRMS = "Siemens|Harbour Foods Ltd|Deutsche Bank|Reuters|Northfield Hospital|Alpine Tours|Unilever".split("|")
PLACES = "Berlin|London|Paris|Warsaw|Madrid|Germany|Lisbon|Oslo".split("|")

# P a product, A an amount; N a person, O an organisation, L a place, Q a number, I an invoice's number.
PATTERNS = (
    "Please send {Q} units of the {P} to our office in {L}.",
    "The new {P} costs {A}.",
    "{N} ordered a {P} for {A}.",
    "Invoice {I}: {P}, {Q} pieces, {A} each.",
    "We have received {A} from {O}.",
    "{O} returned the {P} on Monday.",
    "Total due: {A}, payable to {O}, {L}.",
    "{N} of {O} asked whether the {P} is in stock.",
    "Shipping to {L} adds {A} to the price.",
    "The {P} that {N} bought is broken.",
    "Can you deliver {Q} of the {P} by Friday?",
    "A deposit of {A} was paid for the {P}.",
    "There is no discount on the {P}.",
    "Our customer in {L} paid {A} too much.",
    "Your order {I} has been cancelled.",
    "The meeting with {N} is in {L} next week.",
    "Item {Q}: {P} ({A})",
    "VAT at 19 percent comes to {A}.",
    "Refund {A} for invoice {I} to {N}, please.",
    "{O} would like {Q} more of the {P} at the same price as in 2019.",
    "Who signed for the {P} in {L}?",
    "The {P} and the {P} were shipped together to {N}.",
    "Your balance of {A} is overdue since 3 May.",
    "Instead of the {P} we can offer you the {P} for {A}.",
    "{N}, {O}, {L}: {Q} parcels.",
)
HELD_OUT = (
    "Does the price of {A} for the {P} include delivery to {L}?",
    "{O} cancelled the {P} before it left {L}.",
    "Credit note {I}: {A} less for the damaged {P}.",
    "{N} still owes us {A}.",
    "The cheapest {P} in {L} is sold by {O}.",
    "Order {I} from {N} has arrived.",
)


def sentence(rnd, patterns, makers):
    def product():
        return " ".join(x for x in (rnd.choice(makers), rnd.choice(THINGS), rnd.choice(MODELS)) if x)

    def amount():
        n = rnd.choice((str(rnd.randint(3, 999)), f"{rnd.randint(1, 90)}.{rnd.randint(10, 99)}",
                        f"{rnd.randint(1, 9)},{rnd.randint(100, 999)}"))
        return rnd.choice((f"{n} euros", f"{n} EUR", f"${n}", f"€{n}", f"{n} dollars", f"{n} pounds", f"USD {n}"))

    fill = {"P": product, "A": amount, "N": lambda: rnd.choice(PEOPLE), "O": lambda: rnd.choice(FIRMS),
            "L": lambda: rnd.choice(PLACES), "Q": lambda: rnd.choice(("two", "three", "5", "12")),
            "I": lambda: str(rnd.randint(1000, 99999))}
    text, entities = "", []
    for i, part in enumerate(rnd.choice(patterns).replace("}", "{").split("{")):
        if i % 2:
            label = {"P": "PRODUCT", "A": "AMOUNT"}.get(part)
            part = fill[part]()
            if label:
                entities.append({"start": len(text), "end": len(text) + len(part), "label": label})
        text += part
    return text, json.dumps(entities, separators=(",", ":"))


def main():
    rnd = random.Random(11)
    print("-- orders.sql - orders and invoices with PRODUCT and AMOUNT, by make-orders.py.")
    print("CREATE TABLE orders(part, text, entities);")
    print("INSERT INTO orders VALUES")
    seen = set()
    rows = []
    for part, n, patterns, makers in (("train", 150, PATTERNS, MAKERS[0]),
                                      ("test", 50, PATTERNS + 2 * HELD_OUT, MAKERS[1])):
        while n:
            text, entities = sentence(rnd, patterns, makers)
            if text not in seen:
                seen.add(text)
                rows.append(f"('{part}', '{text}', '{entities}')")
                n -= 1
    print(",\n".join(rows) + ";")


main()
