"""Common English words for prompts when the target's tokenizer is not known; most tokenizers have each as one token."""

_WORDS = """
about above across after again age ago air all also always and animal another answer any area around art ask away back
bad bank base be bed been before began begin behind best better between big bird black blue board boat body book both
box boy bring brother brought building built business but buy call came can car care carry case cat cause center
certain change check child city class clean clear close cold color come common cost could country course cut dark day
deep did different direct do does dog done door down draw drive dry during each early earth east easy eat end enough
even ever every example eye face fact fall family far farm fast father feel feet few field figure final find fine fire
first fish five fly follow food foot for force form found four free friend from front full game gave get girl give go
gold good got great green ground group grow had half hand happen hard has have he head hear heart heat heavy held help
her here high him his hold home horse hot hour house how hundred idea in inch island it job just keep kind king knew
know land language large last late law lay lead learn leave left less letter life light like line list little live
long look lost love low made main make man many map mark may me mean men might mile mind minute money moon more
morning most mother mountain move much music must my name near need never new next night nine
"""

PLAIN_WORDS: tuple[str, ...] = tuple(_WORDS.split())
