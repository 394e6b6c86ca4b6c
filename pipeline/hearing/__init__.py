"""Audio becomes records: decoding, activity, words, speakers, roles, events. numpy in, records out."""
