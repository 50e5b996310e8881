"""Sixty short notes on topics that share few words, some guides, and queries with the one note that answers each."""

DOCUMENTS: list[tuple[str | None, str, str | None]] = [
    (
        "n00",
        "bread",
        "Mix flour, water, salt and yeast, let the dough rise twice, and bake it in a hot oven until the crust is brown.",
    ),
    (
        "n01",
        "bicycle tyre",
        "Take the wheel off, find the hole in the inner tube, roughen it, glue a patch on, and pump the tyre up again.",
    ),
    (
        "n02",
        "tax return",
        "Collect the year's payslips and receipts, fill in the form, and send it to the revenue office before the deadline.",
    ),
    (
        "n03",
        "tomato plants",
        "Sow the seeds indoors in March, plant them out after the last frost, and tie the stems to a stick.",
    ),
    (
        "n04",
        "chess opening",
        "Move the king's pawn two squares, develop knights before bishops, and castle early to keep the king safe.",
    ),
    (
        "n05",
        "guitar strings",
        "Loosen the old strings, thread the new ones through the pegs, wind them up, and tune from low to high.",
    ),
    (
        "n06",
        "tent in the rain",
        "Choose high ground, stretch the outer sheet first, and peg the guy ropes so that water runs off.",
    ),
    (
        "n07",
        "passport",
        "Bring two photographs, your birth certificate and the fee to the office, and wait about three weeks.",
    ),
    (
        "n08",
        "espresso",
        "Grind the beans finely, press eighteen grams into the filter, and let the water run for half a minute.",
    ),
    (
        "n09",
        "goldfish",
        "Keep the bowl large and cool, change a third of the water every week, and feed only what is eaten at once.",
    ),
    (
        "n10",
        "snow tyres",
        "Change to winter tyres when it stays below seven degrees, and store the summer set lying flat.",
    ),
    (
        "n11",
        "violin bow",
        "Rub rosin along the hair before playing, and loosen the screw afterwards so that the stick keeps its bend.",
    ),
    (
        "n12",
        "sourdough starter",
        "Stir flour and water in a jar, feed it daily for a week, and keep it in the fridge between bakings.",
    ),
    (
        "n13",
        "dripping tap",
        "Shut the water off, open the handle, replace the worn rubber washer, and close it again hand-tight.",
    ),
    (
        "n14",
        "first aid for burns",
        "Cool the skin under running water for twenty minutes, cover it loosely, and never use butter.",
    ),
    (
        "n15",
        "solar panels",
        "Face the modules south at thirty degrees, keep them free of shade, and feed the surplus into the grid.",
    ),
    (
        "n16",
        "marathon training",
        "Run four times a week, one long slow run at the weekend, and rest in the last ten days.",
    ),
    (
        "n17",
        "beehive",
        "Inspect the frames on warm days, leave enough honey for the winter, and treat against mites in August.",
    ),
    (
        "n18",
        "wallpaper",
        "Soak the old paper, scrape it off, fill the cracks, and hang the new strips from the window inwards.",
    ),
    (
        "n19",
        "library card",
        "Show an identity card at the desk, pay the yearly fee, and borrow up to thirty books for four weeks.",
    ),
    (
        "n20",
        "star photography",
        "Use a tripod, open the lens wide, expose for fifteen seconds, and stay far from city lights.",
    ),
    (
        "n21",
        "knitting a scarf",
        "Cast on forty stitches, knit every row until the wool is nearly used up, and bind off loosely.",
    ),
    (
        "n22",
        "moving house",
        "Give notice in time, label every box with its room, and have the post forwarded for a year.",
    ),
    (
        "n23",
        "baby sleep",
        "Keep evenings calm, put the child down awake on its back, and hold to the same hour every night.",
    ),
    (
        "n24",
        "job interview",
        "Read about the company, prepare examples of your own work, and bring questions to ask at the end.",
    ),
    (
        "n25",
        "ski wax",
        "Clean the base, iron the wax on evenly, let it cool, scrape it off, and brush in running direction.",
    ),
    (
        "n26",
        "compost heap",
        "Layer kitchen scraps with dry leaves, keep it moist, and turn it over every few weeks for air.",
    ),
    ("n27", "oil painting", "Sketch with thinned paint, work from dark to light, and put thick layers over thin ones."),
    (
        "n28",
        "dog on a lead",
        "Stop whenever it pulls, go on when the lead is slack, and reward it for walking beside you.",
    ),
    (
        "n29",
        "cheese fondue",
        "Rub the pot with garlic, melt gruyère in white wine with starch, and stir in figures of eight.",
    ),
    (
        "n30",
        "blood donation",
        "Eat and drink before you come, answer the doctor's questions, and rest for ten minutes after.",
    ),
    (
        "n31",
        "rowing technique",
        "Push with the legs first, then lean back, then draw the arms; return in the opposite order.",
    ),
    (
        "n32",
        "mushroom hunting",
        "Take only what you know for certain, cut the stem cleanly, and carry them in an open basket.",
    ),
    (
        "n33",
        "car battery",
        "Connect red to the flat battery's plus, black to bare metal, start the helper, then the dead car.",
    ),
    (
        "n34",
        "origami crane",
        "Fold the square into a bird base, narrow the points, and bend one of them down for the head.",
    ),
    (
        "n35",
        "house insurance",
        "List what you own with its value, photograph it, and tell the insurer of every change.",
    ),
    (
        "n36",
        "lighthouse visit",
        "Climb the two hundred steps in the morning, before the groups arrive, and take a jacket for the wind.",
    ),
    (
        "n37",
        "pottery wheel",
        "Centre the clay with wet hands, open it with the thumbs, and pull the wall up in three lifts.",
    ),
    (
        "n38",
        "night train",
        "Book a couchette early, bring earplugs, and hand your ticket to the attendant when you board.",
    ),
    (
        "n39",
        "aquarium plants",
        "Plant roots in fine gravel, give eight hours of light, and add carbon dioxide sparingly.",
    ),
    (
        "n40",
        "sharpening knives",
        "Hold the blade at fifteen degrees to the wet stone, draw it edge first, and turn it each stroke.",
    ),
    ("n41", "window frost", "Air the room briefly several times a day, and wipe the frames dry to keep mould away."),
    (
        "n42",
        "crossword puzzles",
        "Start with the short answers, look for plurals, and read every clue twice for its double meaning.",
    ),
    (
        "n43",
        "sailing knots",
        "Learn the bowline for a loop that holds, the clove hitch for posts, and the reef knot for sails.",
    ),
    ("n44", "apple tree pruning", "Cut in late winter, remove crossing branches, and leave the crown open to the sun."),
    (
        "n45",
        "telescope mirror",
        "Line up both mirrors with a laser, one screw at a time, before every night of observing.",
    ),
    (
        "n46",
        "sewing buttons",
        "Use a doubled thread, leave a small shank by laying a match beneath, and wind it round.",
    ),
    (
        "n47",
        "hedgehog shelter",
        "Pile branches and leaves in a quiet corner, leave a low entrance, and do not disturb it until April.",
    ),
    (
        "n48",
        "voting by post",
        "Ask for the papers in time, mark the ballot, seal both envelopes, and post them five days ahead.",
    ),
    ("n49", "stage fright", "Breathe out slowly, learn the first minute by heart, and look at one friendly face."),
    (
        "n50",
        "fixing a zip",
        "Rub the teeth with candle wax, press the slider together with pliers, and sew a stop below the tear.",
    ),
    (
        "n51",
        "drone flights",
        "Register the aircraft, keep it in sight below one hundred and twenty metres, and away from airports.",
    ),
    (
        "n52",
        "sushi rice",
        "Wash it until the water is clear, steam it, and fold in vinegar, sugar and salt while it cools.",
    ),
    (
        "n53",
        "old coins",
        "Do not polish them; wash in distilled water, dry on a cloth, and keep them in paper envelopes.",
    ),
    ("n54", "river swimming", "Get in slowly, swim near the bank, know the next way out, and never go after storms."),
    (
        "n55",
        "calligraphy pen",
        "Hold the nib at forty-five degrees, pull strokes and do not push them, and rinse it after use.",
    ),
    (
        "n56",
        "rain barrel",
        "Set it on a firm base below the downpipe, cover it against mosquitoes, and empty it before frost.",
    ),
    (
        "n57",
        "poker odds",
        "Count the cards that help you, multiply by two for each card to come, and compare with the pot.",
    ),
    ("n58", "thermos flask", "Warm it with hot water first, fill it to the brim, and it keeps tea hot until evening."),
    (
        "n59",
        "bird feeder",
        "Hang it where cats cannot jump, fill it with sunflower seeds, and clean it with hot water.",
    ),
]
GUIDES = [
    (
        "g1",
        "Cooking at home",
        "General advice for a small kitchen: sharp knives, one good pan, salt at hand, and tasting as you go along.",
    ),
    (
        "g2",
        "Gardens in spring",
        "What to do in March and April in a small garden: clear the beds, sow early greens, and mend the fence.",
    ),
    (
        "g3",
        "Winter on the road",
        "How to drive on snow and ice: gentle steering, early braking in low gear, and twice the usual distance.",
    ),
]
QUERIES = [
    ("how do I bake a loaf", "notes:n00"),
    ("flat bike wheel puncture", "notes:n01"),
    ("declare income to the state", "notes:n02"),
    ("growing tomatos", "notes:n03"),
    ("first moves in chess", "notes:n04"),
    ("restring a guitar", "notes:n05"),
    ("camping when it is wet", "notes:n06"),
    ("faucet leaks", "notes:n13"),
    ("what to do when you burn your hand", "notes:n14"),
    ("prepare for a long distance race", "notes:n16"),
    ("photographs of the night sky", "notes:n20"),
    ("flat car will not start", "notes:n33"),
]
