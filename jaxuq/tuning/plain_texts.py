"""Everyday sentences, written for this project, on which forgetting is measured when a user names no texts."""

PLAIN_TEXTS: tuple[str, ...] = (
    "The baker opens her shop before sunrise, so that the bread is still warm when the first customers arrive.",
    "If you leave a bicycle outside in the rain for months, its chain will rust and the gears will start to slip.",
    "My grandfather kept every letter he ever received in a wooden box under the stairs.",
    "To make a simple soup, fry an onion in butter, add chopped carrots and water, and let it cook for half an hour.",
    "The train was late again, and the people on the platform pulled their coats tighter against the wind.",
    "A good teacher listens more than she talks, and notices when a child has stopped asking questions.",
    "After the storm the beach was covered with seaweed, broken branches and a single red shoe.",
    "Plants turn towards the window because they need light to grow.",
    "She wrote the first chapter in a week, and then nothing at all for three years.",
    "When two people disagree about money, it is seldom only about money.",
    "The village has one road, one church, two shops, and more cats than anybody has counted.",
    "Before you paint a wall, wash it, fill the holes, and wait until the filler is dry.",
    "He learned to swim at forty, in a cold lake, because his daughter had dared him to.",
    "The committee met on Thursday and decided to meet again.",
    "Rivers run slowly where the land is flat, and they bend more and more as the years go by.",
    "Nobody remembered who had brought the cake, but everybody agreed that it was too sweet.",
)
