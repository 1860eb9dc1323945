SELECT id FROM reeve.installation
